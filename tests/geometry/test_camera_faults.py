"""Cameras that do not show the working volume, and the likely mistakes in their poses."""

import re

import numpy as np
import pytest

from opendactyl.core.errors import InputError
from opendactyl.geometry.camera import Camera
from opendactyl.geometry.camera_faults import camera_fault, check_volume, likely_mistake
from opendactyl.geometry.rig import Rig, load_rig, look_at
from opendactyl.geometry.rotation import matrix_to_quat
from opendactyl.geometry.transforms import invert_pose, pose_matrix
from opendactyl.geometry.working_volume import box_corners, volume_view

CORNERS = box_corners([-0.03, -0.03, 0.0], [0.03, 0.03, 0.06])
FRONT = look_at([0.3, -0.4, 0.5], [0.0, 0.0, 0.03], [0.0, 0.0, 1.0])
OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
ROS = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
"""Columns: a ROS body's x (forward), y (left) and z (up) in OpenCV's axes."""


def test_a_rig_that_does_not_see_the_volume_is_refused_in_one_line():
    rig = load_rig("dactyl-200")
    check_volume(rig, box_corners([-0.03, -0.03, 0.0], [0.05, 0.03, 0.08]))
    with pytest.raises(
        InputError, match=r"no camera of rig 'dactyl-200' \(left, right, top\)"
    ) as caught:
        check_volume(rig, box_corners([5, 5, 5], [6, 6, 6]))
    assert "\n" not in str(caught.value) and "hand_from_world" in str(caught.value)


def _xyzw_as_wxyz(pose):
    w, x, y, z = matrix_to_quat(pose[:3, :3])
    return pose_matrix(pose[:3, 3], [x, y, z, w])


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (lambda pose: pose, ""),
        (_xyzw_as_wxyz, "its quaternion were x, y, z, w"),
        (invert_pose, "its pose were cam_from_hand"),
        (lambda pose: pose @ OPENGL, "its axes were OpenGL's (y up, z backward)"),
        (lambda pose: pose @ ROS, "its axes were a ROS body's (x forward, z up)"),
    ],
)
def test_the_mistake_in_a_pose_is_named(wrong, named):
    K = np.array([[600.0, 0, 320], [0, 600, 240], [0, 0, 1]])
    camera = Camera("one", 640, 480, K, invert_pose(wrong(FRONT)))
    seen = volume_view(camera, CORNERS).visibility != "none"
    assert seen == (named == "")
    if not seen:
        assert likely_mistake(camera, CORNERS) == named
        with pytest.raises(InputError, match=re.escape(f"one would see it if {named}")):
            check_volume(Rig("wrong", (camera,)), CORNERS)


@pytest.mark.parametrize(
    ("scale", "focal", "fault", "named"),
    [
        # At a distance of 707 m the image shows the object, as a part of a pixel.
        (1000, 600.0, "0.088 pixels wide, at a distance of 707 m", "were in millimetres"),
        (1000, 60000.0, "not at all", "were in millimetres"),
        (0.001, 600.0, "the camera is inside of it", "were not divided by 1000"),
        (1, 10.0, "1.5 pixels wide, at a distance of 0.686 m", ""),
    ],
)
def test_implausible_sizes_are_named(scale, focal, fault, named, capsys):
    pose = FRONT.copy()
    pose[:3, 3] *= scale
    K = np.array([[focal, 0, 320], [0, focal, 240], [0, 0, 1]])
    camera = Camera("one", 640, 480, K, invert_pose(pose))
    good = Camera("two", 640, 480, np.array([[600.0, 0, 320], [0, 600, 240], [0, 0, 1]]),
                  invert_pose(FRONT))  # fmt: skip
    assert camera_fault(camera, CORNERS) == fault and not camera_fault(good, CORNERS)
    assert likely_mistake(camera, CORNERS).endswith(named)
    with pytest.raises(InputError, match=r"no camera of rig 'wrong' \(one\)"):
        check_volume(Rig("wrong", (camera,)), CORNERS)
    check_volume(Rig("wrong", (camera, good)), CORNERS)
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1 and named in printed
    assert (fault in printed) == (fault != "not at all")
    with pytest.raises(InputError, match="camera 'one' of rig 'wrong' does not"):
        check_volume(Rig("wrong", (camera, good)), CORNERS, every=True)


def test_shipped_rigs_show_the_block_at_a_plausible_size():
    volume = box_corners([-0.05, -0.05, 0.0], [0.05, 0.05, 0.1])
    for name in ("dactyl", "dactyl-200"):
        for camera in load_rig(name).views(64).cameras:
            assert not camera_fault(camera, volume)
