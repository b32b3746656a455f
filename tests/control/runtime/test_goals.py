"""Goals of a task on a robot."""

import numpy as np
import pytest

from opendactyl.control.runtime.goals import TaskGoals
from opendactyl.core.errors import InputError
from opendactyl.vision.estimator import Pose


def test_goals_change_when_the_estimated_pose_reaches_them():
    def pose(quaternion):
        return Pose(np.zeros(3), quaternion, np.eye(6))

    goals = TaskGoals("reorient", seed=3)
    first = goals.goal(pose(np.array([1.0, 0, 0, 0])))
    assert np.array_equal(goals.goal(pose(np.array([1.0, 0, 0, 0]))), first)
    assert goals.reached == 0
    assert not np.array_equal(goals.goal(pose(first)), first)
    assert goals.reached == 1
    with pytest.raises(InputError, match="no task"):
        TaskGoals("juggle")
