"""Loops with a symmetric object: goals by the nearest equivalent, and poses without jumps."""

import dataclasses

import numpy as np
import pytest

from opendactyl.control.bundle.load import load_bundle
from opendactyl.control.runtime.controller import Controller
from opendactyl.control.runtime.goals import TaskGoals
from opendactyl.control.runtime.vision_pose import VisionPose
from opendactyl.geometry.rotation import geodesic_angle, quat_from_axis_angle, quat_multiply
from opendactyl.geometry.symmetry import SymmetryGroup
from opendactyl.vision.estimator import Pose

CONE = SymmetryGroup.generated([], [0.0, 0.0, 1.0])
START = np.array([1.0, 0, 0, 0])


def spun(quaternion, angle):
    return quat_multiply(quaternion, quat_from_axis_angle([0.0, 0.0, 1.0], angle))


def pose(quaternion):
    return Pose(np.zeros(3), quaternion, np.eye(6))


@pytest.fixture
def bundle_of_a_cone(copy, edit_manifest):
    edit_manifest(lambda manifest: manifest.update(symmetry=CONE.to_dict()))
    return load_bundle(copy)


def test_a_goal_is_reached_by_an_equivalent_pose():
    goals = TaskGoals("reorient", seed=3, symmetry=CONE)
    first = goals.goal(pose(START))
    assert CONE.angle(START, first) > 0.4
    goals.goal(pose(spun(first, 2.0)))
    assert goals.reached == 1


def test_poses_continue_from_the_one_before(bundle_of_a_cone):
    source = VisionPose(bundle_of_a_cone, cameras=None)
    first = dataclasses.replace(pose(START), image_points=np.zeros((1, 4, 2)))
    assert source._continued(first) is first
    second = source._continued(dataclasses.replace(first, quaternion=spun(START, 2.5)))
    assert geodesic_angle(second.quaternion, START) < 1e-6 and second.image_points is None
    source._frames.restart()
    source.restart()
    assert source._last is None


def test_the_policy_gets_the_equivalent_goal_that_is_nearest_to_its_pose(bundle_of_a_cone):
    targets = []
    for goal in (spun(START, 0.5), spun(START, 2.5)):
        controller = Controller(bundle_of_a_cone)
        controller.start(np.zeros((1, 24)))
        controller.observe(0, pose(START))
        fingertips, joints = np.zeros((1, 5, 3)), np.zeros((1, 24))
        targets.append(controller.act(np.arange(1), fingertips, joints, goal[None]))
    np.testing.assert_allclose(targets[0], targets[1], atol=1e-6)
