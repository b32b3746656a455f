"""OpenCV's calibrations, as its samples, its FileStorage and a real robot's tools write them."""

from pathlib import Path

import numpy as np
import pytest

from opendactyl.geometry.rig_import.convert import ImportOptions, to_rig
from opendactyl.geometry.rig_import.formats import read_calibration
from opendactyl.geometry.transforms import invert_pose

PHOTOGRAPHS = Path(__file__).parents[3].parent / "shared/photographs/cube_v2"
OPENCV_YAML = """\
%YAML:1.0
---
calibration_time: "Sat 12 Mar 2022 10:20:30 AM UTC"
nr_of_frames: 25
image_width: 640
image_height: 480
board_width: 9
board_height: 6
square_size: 50.
fix_aspect_ratio: 1.
# flags:  +fix_aspectRatio +fix_principal_point +zero_tangent_dist
flags: 14
fisheye_model: 0
camera_matrix: !!opencv-matrix
   rows: 3
   cols: 3
   dt: d
   data: [ 6.5746697944293521e+02, 0., 3.1950000000000000e+02, 0.,
       6.5746697944293521e+02, 2.3950000000000000e+02, 0., 0., 1. ]
distortion_coefficients: !!opencv-matrix
   rows: 5
   cols: 1
   dt: d
   data: [ -4.1802327176423804e-01, 5.0715244063187526e-01, 0., 0.,
       -5.7843597214487474e-01 ]
avg_reprojection_error: 1.9441465493911438e-01
"""
POSE_YAML = """\
tf_world_to_camera: !!opencv-matrix
   rows: 4
   cols: 4
   dt: d
   data: [ 1., 0., 0., 0.1, 0., -1., 0., 0.2, 0., 0., -1., 0.7, 0., 0., 0., 1. ]
"""


def test_opencv_yaml(convert):
    cameras, report = convert({"out_camera_data.yml": OPENCV_YAML + POSE_YAML})
    camera = cameras["out_camera_data"]
    assert (camera.width, camera.height) == (640, 480)
    np.testing.assert_allclose(camera.K[0], [657.46697944293521, 0, 320.0])
    assert camera.distortion.model == "brown-conrady"
    assert camera.distortion.coefficients[4] == pytest.approx(-0.578435972)
    np.testing.assert_allclose(camera.cam_from_hand[:3, 3], [0.1, 0.2, 0.7], atol=1e-12)
    assert report.startswith("opencv\n") and "0.5 added to cx and cy" in report
    assert "units       m: the farthest camera is 0.7348 from" in report
    assert "hand_from_world is the identity" in report


def test_opencv_as_opencv_itself_writes_it(convert, tmp_path):
    cv2 = pytest.importorskip("cv2")
    K, pose = np.array([[500.0, 0, 300], [0, 510, 260], [0, 0, 1]]), np.eye(4)
    pose[:3, 3] = 10.0, -20.0, 700.0
    for name in ("one.yml", "two.json"):
        storage = cv2.FileStorage(str(tmp_path / name), cv2.FileStorage_WRITE)
        storage.write("camera_matrix", K)
        storage.write("distortion_coefficients", np.array([[0.1, 0.01, 0.001, 0.002]]))
        storage.write("tf_camera_to_world", np.linalg.inv(pose))
        storage.write("fisheye_model", 1)
        storage.release()
    texts = {name: (tmp_path / name).read_text() for name in ("one.yml", "two.json")}
    cameras, report = convert(texts, image_size=(640, 512))
    assert list(cameras) == ["one", "two"]
    assert "units       mm" in report
    for camera in cameras.values():
        np.testing.assert_allclose(camera.cam_from_hand[:3, 3], [0.01, -0.02, 0.7], atol=1e-12)
        assert camera.distortion.model == "kannala-brandt"
        assert (camera.width, camera.height) == (640, 512)


def test_opencv_lists_and_solvepnp(convert):
    content = {
        "K": [[500, 0, 300], [0, 510, 260], [0, 0, 1]], "dist": [[0.1, 0, 0, 0, 0]],
        "image_size": [640, 480], "rvec": [[0], [0], [np.pi / 2]], "tvec": [[0.1], [0.2], [0.3]],
    }  # fmt: skip
    cameras, _ = convert({"left cam.json": content})
    camera = cameras["left_cam"]
    # A quarter about z takes x to y.
    np.testing.assert_allclose(camera.cam_from_hand @ [1, 0, 0, 1], [0.1, 1.2, 0.3, 1], atol=1e-12)


@pytest.mark.skipif(not PHOTOGRAPHS.exists(), reason="the photographs are not here")
def test_the_calibration_of_a_real_robot():
    paths = sorted(PHOTOGRAPHS.glob("*.yml"))
    name, calibration = read_calibration(paths)
    rig, lines = to_rig(calibration, "cube", ImportOptions())
    assert name == "opencv" and rig.names == ("camera180", "camera300", "camera60")
    (line,) = [line for line in lines if line.startswith("camera60")]
    assert "rotation made orthonormal: axes moved by 8e-05°" in line
    camera = rig.cameras[2]
    np.testing.assert_allclose(camera.K[:2, 2], [274.87305, 281.76119], atol=1e-5)
    assert camera.distortion.coefficients[0] == -0.23780040845661068
    # It stands on the side of positive x and y, and looks down on the floor.
    position = invert_pose(camera.cam_from_hand)[:3, 3]
    np.testing.assert_allclose(position, [0.2491, 0.2476, 0.3852], atol=1e-4)
