"""The shipped rig `dactyl`: the cameras that ORRB published."""

import numpy as np
import pytest

from opendactyl.geometry.rig import load_rig
from opendactyl.geometry.rotation import geodesic_angle, matrix_to_quat
from opendactyl.geometry.transforms import invert_pose, pose_matrix

# Name, world position (m), MuJoCo quaternion (wxyz, not quite unit), vertical field of view (deg),
# distance to the block's start (m), elevation (deg): ORRB's assets/dactyl.xml.
ORRB = [
    (
        "left",
        (1.75368, 1.28696, 0.901017),
        (-0.569423, -0.165741, -0.375009, -0.7125),
        15,
        1.11,
        39,
    ),
    (
        "right",
        (0.281267, 1.30725, 0.827613),
        (-0.54325, -0.167474, 0.400291, 0.718748),
        16,
        1.05,
        37,
    ),
    ("top", (1.01696, 0.892165, 0.880369), (0.024637, 0.018284, 0.021682, 0.999294), 28, 0.68, 88),
]
BLOCK_START = (1.0, 0.87, 0.2)


def _world_from_hand():
    pose = np.eye(4)
    pose[:3, 0] = (0, -1, 0)  # x: towards the fingertips
    pose[:3, 1] = (1, 0, 0)  # y = z × x
    pose[:3, 3] = (1, 0.87, 0.17)
    return pose


@pytest.mark.parametrize("number", range(3))
def test_dactyl_cameras_have_the_poses_of_orrb(number):
    rig = load_rig("dactyl-200")
    name, position, quat, fovy, distance, elevation = ORRB[number]
    camera = rig.cameras[number]
    assert camera.name == name
    assert (camera.width, camera.height) == (200, 200)
    assert np.rad2deg(camera.fovy) == pytest.approx(fovy)
    world_from_cam = _world_from_hand() @ invert_pose(camera.cam_from_hand)
    np.testing.assert_allclose(world_from_cam[:3, 3], position, atol=1e-5)
    unit = np.array(quat) / np.linalg.norm(quat)
    expected = pose_matrix(position, unit)[:3, :3] @ np.diag([1.0, -1.0, -1.0])
    angle = geodesic_angle(matrix_to_quat(world_from_cam[:3, :3]), matrix_to_quat(expected))
    assert angle < 1e-6
    offset = np.array(position) - BLOCK_START
    assert np.linalg.norm(offset) == pytest.approx(distance, abs=0.006)
    angle = np.rad2deg(np.arcsin(offset[2] / np.linalg.norm(offset)))
    assert angle == pytest.approx(elevation, abs=0.6)


def test_dactyl_cameras_have_the_palm_near_the_image_centre():
    for camera in load_rig("dactyl-200").cameras:
        pixels, depth = camera.project([0.0, 0.0, 0.03])
        assert depth > 0.6
        assert np.all(np.abs(pixels - 100) < 45), camera.name
