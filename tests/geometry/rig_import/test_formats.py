"""Kalibr, ROS, COLMAP and BOP, on files as their own documentation shows them."""

import json

import numpy as np
import pytest

from opendactyl.geometry.distortion import BROWN_CONRADY, KANNALA_BRANDT
from opendactyl.geometry.rig_import.calibration import lens
from opendactyl.geometry.rotation import quat_canonical, quat_to_matrix
from opendactyl.geometry.transforms import invert_pose

KALIBR = """\
cam0:
  camera_model: pinhole
  intrinsics: [461.629, 460.152, 362.680, 246.049]
  distortion_model: radtan
  distortion_coeffs: [-0.27695497, 0.06712482, 0.00087538, 0.00011556]
  T_cam_imu:
  - [0.01779318, 0.99967549,-0.01822936, 0.07008565]
  - [-0.9998017, 0.01795239, 0.00860714,-0.01771023]
  - [0.00893160, 0.01807260, 0.99979678, 0.00399246]
  - [0.0, 0.0, 0.0, 1.0]
  timeshift_cam_imu: -8.121e-05
  rostopic: /cam0/image_raw
  resolution: [752, 480]
cam1:
  camera_model: pinhole
  intrinsics: [458.655, 457.296, 367.215, 248.375]
  distortion_model: equidistant
  distortion_coeffs: [-0.01353, 0.05274, -0.04979, 0.01355]
  T_cn_cnm1:
  - [ 0.99998854, 0.00216014, 0.00427195,-0.11003785]
  - [-0.00221074, 0.99992702, 0.01187697, 0.00045792]
  - [-0.00424598,-0.01188627, 0.99992034,-0.00064487]
  - [0.0, 0.0, 0.0, 1.0]
  timeshift_cam_imu: -8.681e-05
  rostopic: /cam1/image_raw
  resolution: [640, 400]
"""
CAMERA_INFO = """\
image_width: 2448
image_height: 2050
camera_name: prosilica
camera_matrix:
  rows: 3
  cols: 3
  data: [4827.94, 0, 1223.5, 0, 4835.62, 1024.5, 0, 0, 1]
distortion_model: plumb_bob
distortion_coefficients:
  rows: 1
  cols: 5
  data: [-0.41527, 0.31874, -0.00197, 0.00071, 0]
rectification_matrix:
  rows: 3
  cols: 3
  data: [1, 0, 0, 0, 1, 0, 0, 0, 1]
projection_matrix:
  rows: 3
  cols: 4
  data: [4827.94, 0, 1223.5, 0, 0, 4835.62, 1024.5, 0, 0, 0, 1, 0]
"""
CAMERA_INFO_MESSAGE = """\
header:
  stamp: {sec: 1, nanosec: 0}
  frame_id: side_optical_frame
height: 480
width: 640
distortion_model: equidistant
d: [0.01, -0.002, 0.0005, -0.0001]
k: [300.0, 0.0, 319.5, 0.0, 301.0, 200.0, 0.0, 0.0, 1.0]
r: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
p: [300.0, 0.0, 319.5, 0.0, 0.0, 301.0, 200.0, 0.0, 0.0, 0.0, 1.0, 0.0]
binning_x: 0
---
"""
TRANSFORMS = """\
transforms:
- header:
    stamp: {sec: 0, nanosec: 0}
    frame_id: world
  child_frame_id: prosilica
  transform:
    translation: {x: 0.5, y: 0.0, z: 1.0}
    rotation: {x: 1.0, y: 0.0, z: 0.0, w: 0.0}
- header:
    frame_id: prosilica
  child_frame_id: side_optical_frame
  transform:
    translation: {x: 0.0, y: 0.2, z: 0.0}
    rotation: {x: 0.0, y: 0.0, z: 0.70710678, w: 0.70710678}
---
"""
COLMAP_CAMERAS = """\
# Camera list with one line of data per camera:
#   CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]
# Number of cameras: 3
1 SIMPLE_PINHOLE 3072 2304 2559.81 1536 1152
2 PINHOLE 3072 2304 2560.56 2560.56 1536 1152
3 SIMPLE_RADIAL 3072 2304 2559.69 1536 1152 -0.0218531
4 OPENCV_FISHEYE 640 480 300 301 320 200 0.01 -0.002 0.0005 -0.0001
5 FULL_OPENCV 640 480 300 301 320 200 0.1 0.2 0.001 0.002 0.03 0.4 0.5 0.06
"""
COLMAP_IMAGES = """\
# Image list with two lines of data per image:
#   IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME
#   POINTS2D[] as (X, Y, POINT3D_ID)
# Number of images: 2, mean observations per image: 2
1 0.851773 0.0165051 0.503764 -0.142941 -0.737434 1.02973 3.74354 1 P1180141.JPG
2362.39 248.498 58396 1784.7 268.254 59027 1784.7 268.254 -1
2 0.851773 0.0165051 0.503764 -0.142941 -0.737434 1.02973 3.74354 3 P1180142.JPG

3 1 0 0 0 0 0 2 4 side/0001.png
1190.83 663.957 23056
4 1 0 0 0 0 0 2.5 5 side/0002.png
"""
BOP = {
    "0": {
        "cam_K": [1075.65, 0.0, 322.09, 0.0, 1073.90, 231.00, 0.0, 0.0, 1.0],
        "cam_R_w2c": [0.775038, 0.630563, -0.0413049, 0.282559, -0.403979, -0.870029, -0.565301,
                      0.662636, -0.491278],
        "cam_t_w2c": [-3.60, 41.29, 1158.10],
        "depth_scale": 0.1,
    }
}  # fmt: skip


def test_kalibr(convert):
    cameras, report = convert({"camchain.yaml": KALIBR})
    assert list(cameras) == ["cam0", "cam1"]
    assert "the frame of the IMU (T_cam_imu)" in report and "as the format prescribes" in report
    first, second = cameras.values()
    assert (first.width, second.width) == (752, 640)
    np.testing.assert_allclose(first.K[:2, 2], [363.18, 246.549])
    np.testing.assert_allclose(first.cam_from_hand[:3, 3], [0.07008565, -0.01771023, 0.00399246])
    assert (first.distortion.model, second.distortion.model) == ("brown-conrady", "kannala-brandt")
    # cam1_from_cam0 is what is left of cam1_from_imu.
    relative = second.cam_from_hand @ invert_pose(first.cam_from_hand)
    np.testing.assert_allclose(relative[:3, 3], [-0.11003785, 0.00045792, -0.00064487], atol=1e-4)


def test_kalibr_without_imu(convert):
    text = "\n".join(
        line for number, line in enumerate(KALIBR.splitlines()) if not 5 <= number <= 9
    )
    assert "T_cam_imu" not in text.replace("timeshift_cam_imu", "")
    cameras, report = convert({"camchain.yaml": text})
    assert "the frame of cam0" in report
    np.testing.assert_allclose(cameras["cam0"].cam_from_hand, np.eye(4), atol=1e-12)


def test_ros(convert):
    files = {"prosilica.yaml": CAMERA_INFO, "side.yaml": CAMERA_INFO_MESSAGE, "tf.yaml": TRANSFORMS}
    cameras, report = convert(files)
    assert list(cameras) == ["prosilica", "side_optical_frame"]
    assert "the frame world, the root" in report and "x, y, z, w" in report
    first, second = cameras.values()
    assert (first.width, first.height) == (2448, 2050)
    np.testing.assert_allclose(first.K[:2, 2], [1224.0, 1025.0])
    assert first.distortion.coefficients == (-0.41527, 0.31874, -0.00197, 0.00071, 0.0)
    assert second.distortion.model == "kannala-brandt"
    np.testing.assert_allclose(invert_pose(first.cam_from_hand)[:3, 3], [0.5, 0, 1], atol=1e-12)
    # The parent is half a revolution about x away from the world, so its y points backwards.
    np.testing.assert_allclose(invert_pose(second.cam_from_hand)[:3, 3], [0.5, -0.2, 1], atol=1e-9)


def test_colmap(convert):
    cameras, report = convert({"cameras.txt": COLMAP_CAMERAS, "images.txt": COLMAP_IMAGES})
    assert list(cameras) == ["P1180141", "P1180142", "side_0001", "side_0002"]
    assert "scale is arbitrary" in report and "pixel centres at +0.5" in report
    first = cameras["P1180141"]
    np.testing.assert_array_equal(first.K, [[2559.81, 0, 1536], [0, 2559.81, 1152], [0, 0, 1]])
    rotation = quat_to_matrix(quat_canonical([0.851773, 0.0165051, 0.503764, -0.142941]))
    np.testing.assert_allclose(first.cam_from_hand[:3, :3], rotation, atol=1e-12)
    np.testing.assert_allclose(first.cam_from_hand[:3, 3], [-0.737434, 1.02973, 3.74354])
    assert not first.distortion
    assert cameras["P1180142"].distortion.coefficients == (-0.0218531, 0, 0, 0)
    assert cameras["side_0001"].distortion.model == "kannala-brandt"
    assert cameras["side_0002"].distortion.coefficients == (
        0.1, 0.2, 0.001, 0.002, 0.03, 0.4, 0.5, 0.06
    )  # fmt: skip


def test_blank_lines_before_an_image_of_colmap_are_skipped(convert):
    header, _, images = COLMAP_IMAGES.partition("\n")
    cameras, _ = convert({"cameras.txt": COLMAP_CAMERAS, "images.txt": f"{header}\n\n{images}"})
    assert list(cameras) == ["P1180141", "P1180142", "side_0001", "side_0002"]


@pytest.mark.parametrize("model", [BROWN_CONRADY, KANNALA_BRANDT])
def test_a_fisheye_lens_without_coefficients_is_still_none_of_a_pinhole(model):
    assert not lens(model, [], "a") and not lens(model, None, "a")
    found = lens(model, [0, 0, 0, 0, 0], "a")
    assert found == lens(model, [0, 0], "a")
    assert bool(found) == (model == KANNALA_BRANDT)
    if found:  # The angle, not its tangent.
        np.testing.assert_allclose(found.distort([[1.0, 0.0]]), [[np.pi / 4, 0.0]], atol=1e-9)


def test_bop(convert):
    cameras, report = convert({"scene_camera.json": BOP}, image_size=(640, 480))
    camera = cameras["cam0"]
    assert "units       mm: as the format prescribes" in report
    np.testing.assert_allclose(camera.K[:2, 2], [322.59, 231.5])
    np.testing.assert_allclose(camera.cam_from_hand[:3, 3], [-0.0036, 0.04129, 1.1581])
    assert camera.cam_from_hand[1, 2] == pytest.approx(-0.870029, abs=1e-5)


def test_bop_sensors_with_their_sizes(convert):
    size = {"cx": 322, "cy": 231, "depth_scale": 0.1, "fx": 1075, "fy": 1073}
    files = {
        "scene_camera_left.json": BOP,
        "camera_left.json": size | {"width": 640, "height": 480},
        "scene_camera_top.json": BOP,
        "camera_top.json": size | {"width": 800, "height": 600},
    }
    cameras, _ = convert(files)
    assert {name: c.width for name, c in cameras.items()} == {"left": 640, "top": 800}


def test_image_numbers_in_yaml_are_whole_numbers(convert):
    entry = json.dumps(next(iter(BOP.values())))
    cameras, _ = convert({"scene_camera.yml": f"0: {entry}\n10: {entry}\n"}, image_size=(640, 480))
    assert list(cameras) == ["cam0", "cam10"]
