"""Cameras that do not show the working volume, and the likely mistakes in their poses."""

import re
from dataclasses import replace

import numpy as np
import pytest

from opendactyl.core.errors import InputError
from opendactyl.geometry.camera import Camera
from opendactyl.geometry.camera_faults import (
    camera_fault,
    check_every_camera,
    check_volume,
    likely_mistake,
)
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


def camera(name, focal, scale=1.0, **values):
    """A camera that looks at the volume, with its position multiplied by `scale`."""
    pose = FRONT.copy()
    pose[:3, 3] *= scale
    K = np.array([[focal, 0, 320], [0, focal, 240], [0, 0, 1]])
    return Camera(name, 640, 480, K, invert_pose(pose), **values)


@pytest.mark.parametrize(
    ("scale", "focal", "fault", "named"),
    [
        # At a distance of 707 m the image shows the object, as a part of a pixel.
        (1000, 600.0, "shows {} 0.088 pixels wide, from 707 m", "were in millimetres"),
        (1000, 60000.0, "does not see {}", "were in millimetres"),
        (0.001, 600.0, "is inside of {}", "were not divided by 1000"),
        (1, 10.0, "shows {} 1.5 pixels wide, from 0.686 m", ""),
    ],
)
def test_implausible_sizes_are_named(scale, focal, fault, named):
    wrong, good = camera("one", focal, scale), camera("two", 600.0)
    assert camera_fault(wrong, CORNERS) == fault.format("the working volume")
    assert not camera_fault(good, CORNERS)
    assert likely_mistake(wrong, CORNERS).endswith(named)
    with pytest.raises(InputError, match=r"camera 'one' of rig 'wrong' (shows|does not|is in)"):
        check_every_camera(Rig("wrong", (wrong, good)), CORNERS)


def test_a_camera_that_does_not_see_the_volume_is_a_warning_where_others_do(capsys):
    rig = Rig("wrong", (camera("one", 60000.0, 1000), camera("two", 600.0)))
    check_volume(rig, CORNERS)
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and "camera 'one' of rig 'wrong' does not see" in line
    assert "it would see it if its position were in millimetres" in line


def test_the_size_is_relative_to_the_region():
    far = camera("one", 50.0)
    assert "7.6 pixels wide" in camera_fault(far, CORNERS)
    assert not camera_fault(replace(far, roi=(300, 220, 40, 40)), CORNERS)


def test_a_camera_in_the_volume_that_sees_it_is_accepted():
    """A camera in the palm, for example."""
    up = look_at([0.01, 0.0, 0.005], [0.01, 0.001, 0.05], [0.0, 1.0, 0.0])
    K = np.array([[300.0, 0, 320], [0, 300, 240], [0, 0, 1]])
    check_every_camera(Rig("palm", (Camera("palm", 640, 480, K, invert_pose(up)),)), CORNERS)


def test_shipped_rigs_show_the_block_at_a_plausible_size():
    volume = box_corners([-0.05, -0.05, 0.0], [0.05, 0.05, 0.1])
    for name in ("dactyl", "dactyl-200"):
        for camera in load_rig(name).views(64).cameras:
            assert not camera_fault(camera, volume)
