"""Goals that follow from a demonstration, and how an episode and its video show them."""

from contextlib import closing
from types import SimpleNamespace

import numpy as np
import pytest

from opendactyl.control.imitation.goal_rollout import DirectedPose
from opendactyl.control.imitation.record import ImitationRecorder
from opendactyl.control.runtime.imitated_goals import HOLD, HeldGoals, ImitatedGoals
from opendactyl.control.runtime.interfaces import Fault
from opendactyl.control.viewer.video import RunConfig
from opendactyl.geometry.rotation import geodesic_angle, yaw_quat
from opendactyl.vision.estimator import Pose


def pose(quaternion):
    return Pose(np.zeros(3), np.asarray(quaternion, float), np.eye(6))


class TwoGoals(HeldGoals):
    goals = (yaw_quat(1.5), yaw_quat(3.0))

    def _next(self, waypoints):
        return self.goals[len(waypoints) - 1] if len(waypoints) < 3 else None


def test_a_goal_is_due_when_the_one_before_was_held():
    goals = TwoGoals()
    np.testing.assert_array_equal(goals.goal(pose(yaw_quat(0.2))), yaw_quat(1.5))
    for _ in range(HOLD - 1):
        goals.goal(pose(yaw_quat(1.3)))
    goals.goal(pose(yaw_quat(1.0)))  # slipped
    for _ in range(HOLD - 1):
        np.testing.assert_array_equal(goals.goal(pose(yaw_quat(1.4))), yaw_quat(1.5))
    np.testing.assert_array_equal(goals.goal(pose(yaw_quat(1.4))), yaw_quat(3.0))
    assert goals.reached == 1 and not goals.done
    for _ in range(HOLD):
        goals.goal(pose(yaw_quat(3.1)))
    assert goals.done and goals.reached == 2
    np.testing.assert_array_equal(goals.goal(pose(yaw_quat(0.0))), yaw_quat(3.0))
    goals.restart()
    assert goals.reached == 0 and not goals.done


def test_a_goal_source_that_fails_is_asked_again():
    class Failing(TwoGoals):
        failures = 2

        def _next(self, waypoints):
            self.failures -= 1
            if self.failures >= 0:
                raise Fault("goal", "not finite")
            return super()._next(waypoints)

    goals = Failing()
    for _ in range(2):
        with pytest.raises(Fault):
            goals.goal(pose(yaw_quat(0.2)))
    np.testing.assert_array_equal(goals.goal(pose(yaw_quat(0.3))), yaw_quat(1.5))
    assert goals.reached == 0 and len(goals.waypoints) == 1


def test_the_goal_stays_while_there_is_no_pose():
    class Source:
        def pose(self, reading):
            if reading is None:
                raise Fault("pose", "the object is hidden")
            return pose(reading)

    env = SimpleNamespace(goal=np.zeros((2, 4)))
    directed = DirectedPose(Source(), TwoGoals(), env, 1)
    with pytest.raises(Fault):
        directed.pose(None)
    assert directed.goal is None and not env.goal.any()
    assert directed.observed == []
    directed.pose(yaw_quat(0.2))
    env.goal[1] = yaw_quat(2.5)  # as the environment does where it counts a success
    with pytest.raises(Fault):
        directed.pose(None)
    np.testing.assert_array_equal(env.goal, [np.zeros(4), yaw_quat(1.5)])
    directed.pose(yaw_quat(0.3))
    # One orientation an action, also where there was no pose.
    np.testing.assert_array_equal(directed.observed, yaw_quat(np.array([0.2, 0.2, 0.3])))


class _Network:
    def __init__(self, goals):
        self.goals = goals

    def next(self, demonstrations, present, waypoints):
        return self.goals, np.zeros(len(self.goals))


def test_goals_of_copies_that_mean_the_same_are_averaged():
    goals = yaw_quat(np.array([1.4, 1.6, 1.5, 3.0]))
    goals[1] *= -1  # the same orientation
    source = ImitatedGoals(_Network(goals), yaw_quat(np.zeros(40)), copies=4)
    found = source.goal(pose(yaw_quat(0.0)))
    assert geodesic_angle(found, yaw_quat(1.5)) < 1e-6


def test_a_video_shows_the_goals_of_the_demonstration(imitation_bundle, write_recording, tmp_path):
    recording = write_recording(yaw_quat(np.append(np.linspace(0, 1.5, 20), np.full(20, 1.5))))
    config = RunConfig(
        bundle=imitation_bundle, pose="sim", imitate=recording, video=tmp_path / "run.mp4"
    )
    with closing(ImitationRecorder(config)) as recorder:
        recorder._goals = recorder._pose._goals = TwoGoals()
        goal, reached = recorder._progress()
        np.testing.assert_array_equal(goal, recorder.env.object_pose()[1][0])
        recorder.step()
        recorder.env.goal[0], recorder.env.goals[0] = yaw_quat(2.5), 20
        goal, reached = recorder._progress()
        np.testing.assert_array_equal(goal, yaw_quat(1.5))
        assert reached == 0
