"""Wrong calibrations: one line that says what is wrong, where, and how to mend it."""

import json

import numpy as np
import pytest

from opendactyl.core.errors import InputError
from opendactyl.geometry.rig_import.formats import FORMATS, read_calibration
from opendactyl.geometry.rig_import.rig_toml import write_rig

OPENCV = {
    "camera_matrix": [[500, 0, 300], [0, 510, 260], [0, 0, 1]],
    "distortion_coefficients": [0.1, 0.01, 0, 0, 0],
    "image_width": 640,
    "image_height": 480,
    "tf_world_to_camera": [[1, 0, 0, 0.1], [0, 1, 0, 0], [0, 0, 1, 0.6], [0, 0, 0, 1]],
}
MIRROR = [[1, 0, 0, 0.1], [0, 1, 0, 0], [0, 0, -1, 0.6], [0, 0, 0, 1]]
SCALED = [[2, 0, 0, 0.1], [0, 2, 0, 0], [0, 0, 2, 0.6], [0, 0, 0, 1]]
FAR = [[1, 0, 0, 0.1], [0, 1, 0, 0], [0, 0, 1, 600], [0, 0, 0, 1]]
OPEN = [[1, 0, 0, 0.1], [0, 1, 0, 0], [0, 0, 1, 30], [0, 0, 0, 1]]
ZERO_FOCAL = [[0, 0, 300], [0, 510, 260], [0, 0, 1]]
CHAIN = {
    "cam0": {
        "camera_model": "pinhole", "distortion_model": "radtan", "resolution": [640, 480],
        "distortion_coeffs": [0.1, 0, 0, 0], "intrinsics": [500, 500, 320, 240],
    }
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"camera_matrix": [[500, 0], [0, 510]]}, r"a\.json: camera_matrix has the shape 2×2; it"),
        ({"camera_matrix": ZERO_FOCAL}, r"a\.json: camera 'a': K is singular or has no positive"),
        (
            {"camera_matrix": {"rows": 3, "cols": 3, "data": [1, 2]}},
            "camera_matrix is not a",
        ),
        ({"camera_matrix": [[5, 0, "x"], [0, 5, 0], [0, 0, 1]]}, "camera_matrix is not a"),
        ({"camera_matrix": [[5, 0, np.nan], [0, 5, 0], [0, 0, 1]]}, "number that is not finite"),
        ({"camera_matrix": [[5, 1, 3], [0, 5, 3], [0, 0, 1]]}, "has skew"),
        ({"distortion_coefficients": [0.1] * 12}, "has 12 coefficients, not 4 or 5 or 8"),
        ({"tf_world_to_camera": np.eye(3).tolist()}, "tf_world_to_camera has the shape 3×3"),
        ({"tf_world_to_camera": [[1.0, 2.0]]}, "shape 1×2; it must be 4×4"),
        (
            {"tf_world_to_camera": MIRROR},
            r"a\.json: the camera's rotation is a reflection .*gate",
        ),
        ({"tf_world_to_camera": SCALED}, r"lengths \[2\.0, 2\.0, 2\.0\].*check that"),
        ({"tf_world_to_camera": np.diag([1, 1, 0, 1]).tolist()}, "no rotation matrix"),
        ({"tf_world_to_camera": np.ones((4, 4)).tolist()}, "has the last row"),
        ({"tf_world_to_camera": OPEN}, "is 30 from .*may be metres or millimetres; give --units"),
        ({"image_width": 300}, r"principal point \[300\.5, 260\.5\] lies outside .*image size"),
        ({"image_width": "wide"}, "image_width is not a matrix or list of numbers"),
        ({"image_width": 640.5}, "must be a whole number"),
        ({"image_width": 20000}, "from 1 to 16384"),
    ],
)
def test_wrong_values(refused, change, reason):
    refused({"a.json": OPENCV | change}, reason)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("camera_matrix", r"cannot recognise the format of .*a\.json; the formats have \(opencv"),
        ("image_height", r"a\.json has no image_height; add it"),
        ("tf_world_to_camera", r"a\.json has no pose of the camera; add tf_world_to_camera"),
    ],
)
def test_missing_keys(refused, key, reason):
    refused({"a.json": {k: v for k, v in OPENCV.items() if k != key}}, reason)


def test_a_missing_size_asks_for_the_option(refused, to_rig_of):
    content = {k: v for k, v in OPENCV.items() if not k.startswith("image_")}
    refused({"a.json": content}, r"a\.json has no image size; give it with --image-size")
    rig, _ = to_rig_of({"a.json": content}, image_size=(640, 480))
    assert rig.cameras[0].width == 640


def test_another_image_size_is_refused(refused):
    reason = r"a\.json is calibrated for 640×480 pixels, not 320×240; leave --image-size out"
    refused({"a.json": OPENCV}, reason, image_size=(320, 240))


def test_units_that_are_not_plausible(refused, to_rig_of):
    far = {"a.json": OPENCV | {"tf_world_to_camera": FAR}}
    refused(far, "600 from .*not plausible in metres; give --units mm", unit="m")
    near = {"a.json": OPENCV}
    refused(near, "not plausible in millimetres; give --units m", unit="mm")
    unclear = {"a.json": OPENCV | {"tf_world_to_camera": OPEN}}
    assert to_rig_of(unclear, unit="mm")[0].cameras[0].cam_from_hand[2, 3] == 0.03


def test_cameras_that_no_rig_may_have_are_refused(refused):
    pose = {"position": [0, 0, 30], "quaternion": [0, 1, 0, 0]}
    camera = {"name": "a", "width": 640, "height": 480, "fx": 500, "fy": 500, "cx": 320, "cy": 240}
    content = {"units": "m", "cameras": [camera | {"world_from_cam": pose}]}
    refused({"a.json": content}, "is 30 m from the hand frame, and rigs have at most 20 m; give")


def test_names(refused, to_rig_of):
    two = {"a.json": OPENCV | {"camera_name": "c"}, "b.json": OPENCV | {"camera_name": "c"}}
    refused(two, "two cameras are called c; give others with --names")
    refused(two, r"--names has 1 names for 2 cameras \(c, c\)", names=("x",))
    refused(two, "letters, digits", names=("x", "../y"))
    assert to_rig_of(two, names=("x", "y"))[0].names == ("x", "y")


def test_formats(refused):
    one = {"a.json": OPENCV}
    refused(one, "unknown format 'opencb'; use opencv, kalibr, ros", "opencb")
    refused(one, r"a\.json is opencv, not kalibr; a file of kalibr has", "kalibr")
    refused(one | {"b.json": CHAIN}, r"b\.json is kalibr, not opencv")
    assert set(FORMATS) == {"opencv", "kalibr", "ros", "colmap", "bop", "json"}


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.json", "{", "neither JSON nor YAML"),
        ("a.yml", "a: [1", "neither JSON nor YAML"),
        ("a.yml", "x: !!python/object:os.system {}", "neither JSON nor YAML"),
        ("a.xml", "<?xml version='1.0'?><opencv_storage/>", "is XML; let OpenCV write"),
        ("a.yml", "", "cannot recognise"),
        ("a.yml", "camera_matrix: !!opencv-matrix 3\n", "not a table"),
        ("a.txt", "hello", "cannot recognise"),
    ],
)
def test_files_of_another_kind(refused, name, content, reason):
    refused({name: content}, reason)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"cannot read the calibration .*gone\.yml"):
        read_calibration([tmp_path / "gone.yml"])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"pose": []}, "has no hand_from_world"),
        ({"hand_from_world": [[1, 2]]}, "hand_from_world has the shape 1×2; it must be 4×4"),
        ({"hand_from_world": FAR}, "translation of more than 50.0 m; it is in metres"),
        ({"hand_from_world": MIRROR}, "reflection"),
    ],
)
def test_the_pose_of_the_hand(refused, tmp_path, content, reason):
    path = tmp_path / "hand.json"
    path.write_text(json.dumps(content))
    refused({"a.json": OPENCV}, reason, hand_from_world=path)


def test_rig_files_are_not_overwritten(to_rig_of, tmp_path):
    rig, _ = to_rig_of({"a.json": OPENCV})
    out = tmp_path / "rig.toml"
    write_rig(rig, out, "test")
    with pytest.raises(InputError, match=r"rig\.toml exists; choose another --out"):
        write_rig(rig, out, "test")
    with pytest.raises(InputError, match=r"must end in \.toml"):
        write_rig(rig, tmp_path / "rig.yml", "test")
