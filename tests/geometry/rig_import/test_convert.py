"""Plain JSON, and what holds for every format: units, the hand frame, exact rotations."""

import json

import numpy as np
import pytest

from opendactyl.geometry.transforms import invert_pose

PLAIN = {
    "units": "m",
    "pixel_centre": 0.5,
    "cameras": [
        {
            "name": "front", "width": 640, "height": 480,
            "K": [[600, 0, 321], [0, 601, 243], [0, 0, 1]],
            "distortion": {"model": "brown-conrady", "coefficients": [-0.1, 0.02, 0, 0, 0.003]},
            "world_from_cam": {"position": [0.1, -0.5, 0.4], "quaternion": [0.8, -0.6, 0, 0]},
        },
        {
            "name": "side", "width": 320, "height": 320, "fx": 250, "fy": 250, "cx": 100, "cy": 200,
            "world_from_cam": {"position": [0.1, -0.5, 0.4], "quaternion_xyzw": [-0.6, 0, 0, 0.8]},
        },
    ],
}  # fmt: skip


def test_plain_json(convert):
    cameras, report = convert({"cameras.json": PLAIN})
    front, side = cameras["front"], cameras["side"]
    assert "pixel centres at +0.5, as here" in report
    np.testing.assert_array_equal(front.K[:2, 2], [321, 243])
    assert (side.width, side.height) == (320, 320)
    np.testing.assert_allclose(front.cam_from_hand, side.cam_from_hand, atol=1e-12)
    np.testing.assert_allclose(invert_pose(front.cam_from_hand)[:3, 3], [0.1, -0.5, 0.4])
    # 0.8, -0.6 is -73.74° about x: the optical axis z tilts towards y.
    axis = invert_pose(front.cam_from_hand)[:3, 2]
    np.testing.assert_allclose(axis, [0, 0.96, 0.28], atol=1e-12)
    whole = {**PLAIN, "pixel_centre": 0}
    shifted, _ = convert({"cameras.json": whole})
    np.testing.assert_array_equal(shifted["front"].K[:2, 2], [321.5, 243.5])


@pytest.mark.parametrize("key", ["hand_from_world", "world_from_hand"])
def test_the_hand_frame_is_placed_in_the_world(convert, tmp_path, key):
    pose = tmp_path / "hand.yaml"
    pose.write_text(f"{key}: {{position: [0.0, 0.0, 0.25], quaternion: [1, 0, 0, 0]}}")
    cameras, report = convert({"cameras.json": PLAIN}, hand_from_world=pose, names=("a", "b"))
    height = 0.65 if key == "hand_from_world" else 0.15
    np.testing.assert_allclose(
        invert_pose(cameras["a"].cam_from_hand)[:3, 3], [0.1, -0.5, height], atol=1e-12
    )
    assert f"hand frame  {key} of" in report


def test_millimetres_are_recognised(convert):
    content = json.loads(json.dumps(PLAIN))
    del content["units"]
    for camera in content["cameras"]:
        pose = camera["world_from_cam"]
        pose["position"] = [1000 * value for value in pose["position"]]
    cameras, report = convert({"cameras.json": content})
    assert "units       mm: the farthest camera is 648.1" in report
    np.testing.assert_allclose(
        invert_pose(cameras["front"].cam_from_hand)[:3, 3], [0.1, -0.5, 0.4], atol=1e-12
    )


def test_an_inexact_rotation_is_made_exact_and_the_change_told(convert):
    content = json.loads(json.dumps(PLAIN))
    inexact = np.eye(4)
    inexact[0, 1] = np.tan(np.deg2rad(1.0))  # the y axis leans by 1°
    inexact[2, 3] = 0.5
    content["cameras"][0]["cam_from_world"] = inexact.tolist()
    cameras, report = convert({"cameras.json": content})
    assert "front" in cameras and "axes moved by 0.5°" in report
