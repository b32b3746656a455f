"""Pictures and estimates are checked before anything relies on them."""

import numpy as np
import pytest

from opendactyl.control.evaluation.fault_injection import JUMP_ANGLE
from opendactyl.control.runtime.interfaces import Fault
from opendactyl.control.runtime.validation import check_pose
from opendactyl.control.runtime.vision_pose import FrameCheck
from opendactyl.vision.estimator import Pose


def test_the_same_picture_of_a_hand_that_stands_still_is_no_fault():
    check = FrameCheck(("a",), (1, 8, 8, 3))
    picture = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    joints = np.zeros(24)
    for _ in range(3):
        assert np.array_equal(check.check([picture], joints)[0], picture)
    with pytest.raises(Fault, match="a is frozen"):
        check.check([picture], joints + 0.1)
    assert check.check([picture[::-1]], joints + 0.1).shape == (1, 8, 8, 3)


def test_the_number_of_cameras_is_checked():
    with pytest.raises(Fault, match="2 images came from 1 cameras"):
        FrameCheck(("a",), (1, 8, 8, 3)).check([None, None], np.zeros(24))


@pytest.mark.parametrize(
    ("position", "quaternion", "words"),
    [
        ([0, 0, np.nan], [1, 0, 0, 0], "not finite"),
        ([0, 0, 0], [0.5, 0, 0, 0], "no rotation"),
        ([0, 0.9, 0], [1, 0, 0, 0], "0.90 m from the hand"),
    ],
)
def test_estimates_that_are_no_poses_are_faults(position, quaternion, words):
    with pytest.raises(Fault, match=words):
        check_pose(Pose(np.array(position), np.array(quaternion), np.eye(6)))


def test_the_estimator_is_not_asked_about_bad_frames(rig):
    rig.steps(2)
    asked = rig.estimator.asked
    rig.faults.active.add("black")
    rig.steps(4)
    assert rig.estimator.asked == asked


def test_a_jump_that_lasts_is_believed_and_one_that_does_not_is_not(rig):
    before = rig.steps(5)[-1]
    rig.faults.active.add("jump")
    jumped = rig.steps(8)
    assert np.array_equal(jumped[2].quaternion, before.quaternion)
    angle = 2 * np.arccos(abs(jumped[-1].quaternion @ before.quaternion))
    assert angle == pytest.approx(JUMP_ANGLE, abs=0.1)
