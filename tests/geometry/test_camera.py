"""Poses and cameras, compared with hand calculations and with MuJoCo's cameras."""

import mujoco
import numpy as np
import pytest

from opendactyl.geometry.camera import Camera, intrinsics_from_fovy
from opendactyl.geometry.rotation import quat_from_axis_angle, quat_to_matrix, random_quat
from opendactyl.geometry.transforms import (
    invert_pose,
    pose_from_matrix,
    pose_matrix,
    transform_points,
)

SHAPES = [(), (1,), (3, 1, 2)]


def _camera(**overrides):
    values = {
        "name": "one",
        "width": 200,
        "height": 100,
        "K": np.array([[50.0, 0, 100], [0, 50, 50], [0, 0, 1]]),
        "cam_from_hand": np.eye(4),
    }
    return Camera(**values | overrides)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_inverse_poses_and_round_trips(shape):
    rng = np.random.default_rng(0)
    position, quat = rng.standard_normal((*shape, 3)), random_quat(rng, shape)
    pose = pose_matrix(position, quat)
    assert pose.shape == (*shape, 4, 4)
    np.testing.assert_allclose(
        pose @ invert_pose(pose), np.broadcast_to(np.eye(4), pose.shape), atol=1e-12
    )
    back = pose_from_matrix(pose)
    np.testing.assert_allclose(back[0], position)
    np.testing.assert_allclose(back[1], quat, atol=1e-12)
    points = rng.standard_normal((*shape, 5, 3))
    moved = transform_points(pose, points)
    assert moved.shape == points.shape
    np.testing.assert_allclose(transform_points(invert_pose(pose), moved), points, atol=1e-12)


def test_transform_points_by_hand():
    quarter = pose_matrix([1.0, 2.0, 3.0], quat_from_axis_angle([0, 0, 1], np.pi / 2))
    np.testing.assert_allclose(
        transform_points(quarter, [[1.0, 0, 0], [0, 1, 0]]), [[1, 3, 3], [0, 2, 3]], atol=1e-12
    )


def test_projection_by_hand():
    # x = 50 * 0.2 / 2 + 100 = 105 (right), y = 50 * -0.4 / 2 + 50 = 40 (up).
    pixels, depth = _camera().project([[0.2, -0.4, 2.0], [0.0, 0.0, 1.0]])
    np.testing.assert_allclose(pixels, [[105.0, 40.0], [100.0, 50.0]])
    np.testing.assert_allclose(depth, [2.0, 1.0])


def test_points_behind_the_camera_have_negative_depth():
    assert _camera().project([0.0, 0.0, -1.0])[1] == -1.0


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_projection_of_any_batch_shape(shape):
    rng = np.random.default_rng(1)
    points = rng.standard_normal((*shape, 3)) + np.array([0, 0, 10])
    pixels, depth = _camera().project(points)
    assert pixels.shape == (*shape, 2)
    assert depth.shape == shape
    flat = [_camera().project(point)[0] for point in points.reshape(-1, 3)]
    np.testing.assert_allclose(pixels.reshape(-1, 2), flat)


def test_scaling_scales_pixels_and_keeps_the_field_of_view():
    camera = _camera(K=intrinsics_from_fovy(0.4, 200, 100))
    point = [0.05, -0.02, 1.0]
    half = camera.scaled(100, 50)
    np.testing.assert_allclose(half.project(point)[0], camera.project(point)[0] / 2)
    assert half.fovy == pytest.approx(0.4) == camera.fovy


def test_the_image_edge_lies_at_half_the_field_of_view():
    camera = _camera(K=intrinsics_from_fovy(np.pi / 2, 200, 100))
    np.testing.assert_allclose(camera.project([0.0, 1.0, 1.0])[0], [100.0, 100.0])
    np.testing.assert_allclose(camera.project([0.0, -1.0, 1.0])[0], [100.0, 0.0], atol=1e-12)


def test_projection_agrees_with_mujoco():
    """MuJoCo's camera axes are x right, y up, z backward; its pixels start at the upper left."""
    rng = np.random.default_rng(5)
    width, height, fovy = 200, 160, 35.0
    for _ in range(20):
        quat = random_quat(rng)
        position = rng.uniform(-1, 1, 3)
        axes = quat_to_matrix(quat)
        target = position - axes[:, 2] * 0.8 + axes[:, :2] @ rng.uniform(-0.15, 0.15, 2)
        model = mujoco.MjModel.from_xml_string(f"""
          <mujoco><worldbody>
            <camera name="c" pos="{_text(position)}" quat="{_text(quat)}" fovy="{fovy}"
                    resolution="{width} {height}"/>
            <site name="s" pos="{_text(target)}"/>
          </worldbody>
          <sensor><camprojection site="s" camera="c"/></sensor></mujoco>""")
        data = mujoco.MjData(model)
        mujoco.mj_forward(model, data)
        world_from_cam = pose_matrix(position, quat) @ np.diag([1.0, -1.0, -1.0, 1.0])
        intrinsics = intrinsics_from_fovy(np.deg2rad(fovy), width, height)
        camera = Camera("c", width, height, intrinsics, invert_pose(world_from_cam))
        pixels, depth = camera.project(target)
        np.testing.assert_allclose(pixels, data.sensordata, atol=1e-5)
        assert depth == pytest.approx(0.8)


def _text(values):
    return " ".join(repr(float(value)) for value in values)


def test_points_behind_a_camera_have_no_pixel_coordinates():
    points = [[0.1, 0.0, 1.0], [0.1, 0.0, -1.0], [0.1, 0.0, 0.0]]
    for project in (_camera().project, _camera().project_raw):
        pixels, depth = project(points)
        np.testing.assert_allclose(pixels[0], [105, 50])
        assert np.isnan(pixels[1:]).all()
        np.testing.assert_array_equal(depth, [1, -1, 0])
