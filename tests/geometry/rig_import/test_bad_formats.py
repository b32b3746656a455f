"""What is refused in a single format: one line that says what is wrong, where, and the remedy."""

import numpy as np
import pytest

from opendactyl.core.errors import InputError
from opendactyl.geometry.rig_import.formats import FORMATS, read_calibration

CHAIN = {
    "cam0": {
        "camera_model": "pinhole", "distortion_model": "radtan", "resolution": [640, 480],
        "distortion_coeffs": [0.1, 0, 0, 0], "intrinsics": [500, 500, 320, 240],
    }
}  # fmt: skip
INFO = {
    "image_width": 640, "image_height": 480, "camera_name": "side", "distortion_model": "plumb_bob",
    "camera_matrix": {"rows": 3, "cols": 3, "data": [500, 0, 300, 0, 500, 200, 0, 0, 1]},
    "distortion_coefficients": {"rows": 1, "cols": 5, "data": [0, 0, 0, 0, 0]},
}  # fmt: skip
COLMAP_CAMERAS = "# CAMERA_ID, MODEL\n1 PINHOLE 640 480 500 500 320 240\n"
COLMAP_IMAGES = "# IMAGE_ID, QW\n1 1 0 0 0 0 0 2 1 a.png\n\n"


def _transform(parent, child):
    return {
        "header": {"frame_id": parent},
        "child_frame_id": child,
        "transform": {
            "translation": {"x": 0, "y": 0, "z": 1},
            "rotation": {"x": 1, "y": 0, "z": 0, "w": 0},
        },
    }


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"camera_model": "omni"}, "cam0 has the camera model omni .*pinhole-radtan or"),
        ({"distortion_model": "fov"}, "the distortion fov; calibrate again"),
        ({"intrinsics": [1, 2]}, "cam0: intrinsics has the shape 2; it must be 4"),
        ({"distortion_coeffs": [0.1] * 9}, "has 9 coefficients"),
        ({"resolution": [640.5, 480]}, "resolution is 640.5; it must be a whole number"),
        ({"distortion_model": ["radtan"]}, r"a\.json: an entry is missing or not what kalibr"),
    ],
)
def test_kalibr(refused, change, reason):
    refused({"a.json": {"cam0": CHAIN["cam0"] | change}}, reason)


def test_kalibr_chains(refused):
    broken = CHAIN | {"cam1": CHAIN["cam0"]}
    refused({"a.json": broken}, "cam1 has no T_cn_cnm1; add it")
    refused({"a.json": {"cam1": CHAIN["cam0"]}}, "has no cam0")
    refused({"a.json": CHAIN, "b.json": CHAIN}, "is one file; 2 were given")


def test_ros(refused):
    refused({"a.json": INFO}, r"no transform to the camera's frame \(side or side_opt")
    circle = {"transforms": [_transform("b", "side"), _transform("side", "b")]}
    refused({"a.json": INFO, "t.json": circle}, "form a circle")
    twice = {"transforms": [_transform("b", "side"), _transform("c", "side")]}
    refused({"a.json": INFO, "t.json": twice}, "transform to side occurs twice")
    worlds = {"transforms": [_transform("w", "side"), _transform("v", "top")]}
    files = {"a.json": INFO, "b.json": INFO | {"camera_name": "top"}, "t.json": worlds}
    refused(files, "lead to several worlds, v, w; add the transform")
    refused({"t.json": worlds}, "describes no camera")
    long = _transform("w", "side")
    long["transform"]["rotation"]["w"] = 1
    refused({"a.json": INFO, "t.json": long}, "length 1.41; it must be 1")
    other = INFO | {"distortion_model": "thin_prism"}
    refused({"a.json": other}, "distortion_model thin_prism; use one of plumb_bob")


@pytest.mark.parametrize(
    ("cameras", "images", "reason"),
    [
        ("1 FOV 640 480 500 500 320 240 0.9\n", COLMAP_IMAGES, r"cameras\.txt:1: camera model FOV"),
        ("1\n", COLMAP_IMAGES, r"cameras\.txt:1 is not CAMERA_ID, MODEL"),
        ("1 PINHOLE 640 480 500\n", COLMAP_IMAGES, r"PARAMS has the shape 3; it must be 6"),
        (
            COLMAP_CAMERAS,
            "1 1 0 0 0 0 0 2 7 a.png\n\n",
            r"images\.txt:1: cameras\.txt has no",
        ),
        (COLMAP_CAMERAS, "1 1 0 0\n\n", r"images\.txt:1 is not IMAGE_ID"),
        (COLMAP_CAMERAS, "1 1 0 0 0 0 0 2 1 a.png\n" * 3, r"images\.txt:2 is not a line of points"),
        (COLMAP_CAMERAS, "1 1 0 0 0 0 0 2 1 a.png\n\n" * 33, "has 33 images; keep the lines"),
    ],
)
def test_colmap(refused, cameras, images, reason):
    refused({"cameras.txt": cameras, "images.txt": images}, reason)


def test_a_format_that_is_not_recognised_can_be_named(refused, tmp_path):
    plain = [text.partition("\n")[2] for text in (COLMAP_CAMERAS, COLMAP_IMAGES)]
    files = {"c1.txt": plain[0], "my-images.txt": plain[1]}
    refused(files, "name its format with --format")
    name, calibration = read_calibration([tmp_path / file for file in files], "colmap")
    assert name == "colmap" and len(calibration.cameras) == 1
    (tmp_path / "c.json").write_text('{"cameras": 3}')
    for name in sorted(set(FORMATS) - {"colmap"}):
        with pytest.raises(InputError):
            read_calibration([tmp_path / "c.json"], name)


def test_colmap_needs_both_files(refused):
    refused({"cameras.txt": COLMAP_CAMERAS}, r"give cameras\.txt and images\.txt")


def test_bop(refused):
    entry = {"cam_K": [500, 0, 300, 0, 500, 200, 0, 0, 1], "depth_scale": 1.0}
    refused({"scene_camera.json": {"3": entry}}, "image 3 has no cam_R_w2c; add it")
    whole = entry | {"cam_R_w2c": np.eye(3).ravel().tolist(), "cam_t_w2c": [0, 0, 900]}
    many = {str(number): whole for number in range(40)}
    refused({"scene_camera.json": many}, "40 images; keep one entry for each camera")
    refused({"scene_camera.json": {"0": whole}}, "no image size; give it with")


@pytest.mark.parametrize(
    ("change", "top", "reason"),
    [
        ({"world_from_cam": None}, {}, "world_from_cam"),
        ({"world_from_cam": {"position": [0, 0, 1]}}, {}, "has no quaternion; add it"),
        ({"distortion": [0.1]}, {}, "distortion must be"),
        ({"distortion": {"model": "fov"}}, {}, "unknown distortion model 'fov'"),
        ({"distortion_coeffs": [0.1]}, {}, "unknown key 'distortion_coeffs'"),
        ({"distortion": {"model": "none", "D": []}}, {}, "distortion has the unknown key 'D'"),
        ({}, {"units": "cm"}, "units is 'cm'; it must be 'm' or 'mm'"),
        ({}, {"pixel_centre": 1}, "pixel_centre is 1; it must be 0 or 0.5"),
        ({}, {"pixel_center": 0.5}, "unknown key 'pixel_center' .did you mean pixel_centre?"),
        ({}, {"unit": "mm"}, "unknown key 'unit' .did you mean units?"),
        ({}, {"units": ["m"]}, "an entry is missing or not what json prescribes"),
        ({}, {"cameras": []}, "describes no camera"),
        ({}, {"cameras": [3]}, "camera 0 is not a table"),
    ],
)
def test_plain(refused, change, top, reason):
    camera = {
        "name": "a", "width": 640, "height": 480, "fx": 500, "fy": 500, "cx": 320, "cy": 240,
        "world_from_cam": {"position": [0, 0, 1], "quaternion": [0, 1, 0, 0]},
    }  # fmt: skip
    refused({"a.json": {"cameras": [camera | change]} | top}, reason)
