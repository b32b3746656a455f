"""Goals of symmetric objects: the nearest equivalent counts, and a task may have none."""

import numpy as np
import pytest

from opendactyl.core.errors import InputError
from opendactyl.geometry.rotation import (
    geodesic_angle,
    quat_from_axis_angle,
    quat_multiply,
    random_quat,
)
from opendactyl.geometry.symmetry import NO_SYMMETRY, SymmetryGroup
from opendactyl.policy.env.env import HandEnv
from opendactyl.policy.env.episode_types import EnvConfig
from opendactyl.policy.interface.tasks import (
    SUCCESS_ANGLE,
    GoalContext,
    check_task_of,
    sample_goals,
)

Z = [0.0, 0.0, 1.0]
EIGHTFOLD = SymmetryGroup.generated(quat_from_axis_angle(Z, np.pi / 4))
FOURFOLD = SymmetryGroup.generated(quat_from_axis_angle(Z, np.pi / 2))
CONE = SymmetryGroup.generated([], Z)
UPRIGHT = np.tile([1.0, 0, 0, 0], (6, 1))


def goals_of(task, group, current=UPRIGHT):
    context = GoalContext(current, current, symmetry=group)
    numbers = np.arange(len(current))
    return sample_goals(task, 0, numbers, numbers, context)


def test_goals_are_the_nearest_equivalents_and_far_enough():
    angles = geodesic_angle(UPRIGHT, goals_of("spin", FOURFOLD))
    assert np.all((angles > SUCCESS_ANGLE) & (angles <= np.pi / 4))
    current = random_quat(np.random.default_rng(0), (6,))
    goals = goals_of("reorient", CONE, current)
    np.testing.assert_allclose(geodesic_angle(current, goals), CONE.angle(current, goals))


@pytest.mark.parametrize("group", [EIGHTFOLD, CONE])
def test_a_task_without_goals_is_refused(group):
    with pytest.raises(InputError, match="task spin has no goal for this object: by its symmetry"):
        goals_of("spin", group)


def test_a_task_that_has_no_goal_for_an_upright_object_is_refused_before_it_starts(object_folder):
    """Otherwise, a training would end when an episode starts with the rod upright."""
    rod = str(object_folder / "rod.toml")
    with pytest.raises(InputError, match="no goal for the object rod when the axis of its symm"):
        EnvConfig(task="spin", object=rod)
    EnvConfig(task="face-up", object=rod)
    for group, angle in ((FOURFOLD, np.pi / 2), (CONE, 0), (NO_SYMMETRY, 2 * np.pi)):
        assert group.smallest_angle == pytest.approx(angle)
    check_task_of("spin", "", (), FOURFOLD)
    with pytest.raises(InputError, match="choose --task face-up or reorient"):
        check_task_of("spin", "", (), EIGHTFOLD)


def test_success_is_that_of_the_nearest_equivalent(object_folder):
    reference = str(object_folder / "rod.toml")
    env = HandEnv(EnvConfig(task="reorient", object=reference), 4, seed=1, threads=1)
    env.reset()
    assert env.scene.symmetry.axis is not None
    # Equivalents of the present orientation: the rod upside down and spun.
    _, quaternion = env.object_pose()
    images = env.scene.symmetry.samples(5)[[1, 4, 7, 9]]
    env.goal = quat_multiply(quaternion, images)
    step = env.step(np.full((4, 20), 5))
    assert step.reached.all()
    _, quaternion = env.object_pose()
    goals = env.goal
    np.testing.assert_allclose(
        geodesic_angle(quaternion, goals), env.scene.symmetry.angle(quaternion, goals)
    )
