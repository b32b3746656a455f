"""Checks of images and estimates."""

import numpy as np
import pytest

from opendactyl.control.evaluation.fault_injection import JUMP_ANGLE
from opendactyl.control.runtime.interfaces import Fault
from opendactyl.control.runtime.validation import check_pose
from opendactyl.control.runtime.vision_pose import FrameCheck
from opendactyl.vision.estimator import Pose


def test_a_repeated_image_is_a_fault_only_if_the_hand_moved():
    check = FrameCheck(("a",), [(8, 8, 3)])
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    joints = np.zeros(24)
    for _ in range(3):
        assert np.array_equal(check.check([image], joints)[0], image)
    with pytest.raises(Fault, match="a is frozen"):
        check.check([image], joints + 0.1)
    assert np.array_equal(check.check([image[::-1]], joints + 0.1)[0], image[::-1])


def test_the_number_of_cameras_is_checked():
    with pytest.raises(Fault, match="2 images from 1 cameras"):
        FrameCheck(("a",), [(8, 8, 3)]).check([None, None], np.zeros(24))


@pytest.mark.parametrize(
    ("position", "quaternion", "message"),
    [
        ([0, 0, np.nan], [1, 0, 0, 0], "not finite"),
        ([0, 0, 0], [0.5, 0, 0, 0], "norm 0.50"),
        ([0, 0.9, 0], [1, 0, 0, 0], "0.90 m from the hand"),
    ],
)
def test_invalid_estimates_are_faults(position, quaternion, message):
    with pytest.raises(Fault, match=message):
        check_pose(Pose(np.array(position), np.array(quaternion), np.eye(6)))


def test_a_covariance_must_be_symmetric_and_positive_semidefinite():
    valid = np.diag([1e-6] * 3 + [1e-3] * 3)
    valid[0, 4] = valid[4, 0] = 0.99 * np.sqrt(1e-9)
    check_pose(Pose(np.zeros(3), np.array([1.0, 0, 0, 0]), valid))
    check_pose(Pose(np.zeros(3), np.array([1.0, 0, 0, 0]), np.zeros((6, 6))))
    asymmetric, indefinite, negative = valid.copy(), valid.copy(), valid.copy()
    asymmetric[0, 4] = 0.0
    indefinite[0, 4] = indefinite[4, 0] = 1.1 * np.sqrt(1e-9)
    negative[2, 2] = -1e-6
    for covariance in (asymmetric, indefinite, negative):
        with pytest.raises(Fault, match="positive semidefinite"):
            check_pose(Pose(np.zeros(3), np.array([1.0, 0, 0, 0]), covariance))


def test_the_estimator_does_not_run_on_invalid_frames(rig):
    rig.steps(2)
    calls = rig.estimator.calls
    rig.faults.active.add("black")
    rig.steps(4)
    assert rig.estimator.calls == calls


def test_only_a_jump_that_persists_is_accepted(rig):
    before = rig.steps(5)[-1]
    rig.faults.active.add("jump")
    jumped = rig.steps(8)
    assert np.array_equal(jumped[2].quaternion, before.quaternion)
    angle = 2 * np.arccos(abs(jumped[-1].quaternion @ before.quaternion))
    assert angle == pytest.approx(JUMP_ANGLE, abs=0.1)
