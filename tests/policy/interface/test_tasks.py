"""Goal distributions of the tasks."""

import math

import numpy as np
import pytest

from opendactyl.core.errors import InputError
from opendactyl.geometry.rotation import geodesic_angle, quat_to_matrix, random_quat, yaw_quat
from opendactyl.geometry.symmetry import NO_SYMMETRY, SymmetryGroup
from opendactyl.policy.env.episode_types import EnvConfig
from opendactyl.policy.interface.tasks import (
    ROTATE_FACE,
    SUCCESS_ANGLE,
    TASKS,
    GoalContext,
    check_seconds_per_goal,
    sample_goals,
    tasks_of,
    upright,
)
from opendactyl.sim.objects.shipped import object_spec
from opendactyl.sim.timing import CONTROL_PERIOD

IDENTITY = np.array([1.0, 0, 0, 0])


def goal(task, seed, episode, number, start=IDENTITY, current=IDENTITY):
    """One goal of one episode."""
    context = GoalContext(start[None], current[None])
    return sample_goals(task, seed, np.array([episode]), np.array([number]), context)[0]


@pytest.mark.parametrize("task", TASKS)
def test_goals_depend_on_seed_episode_and_number_only(task):
    first = goal(task, 3, 7, 2)
    np.testing.assert_array_equal(goal(task, 3, 7, 2), first)
    others = [
        goal(task, 4, 7, 2),
        goal(task, 3, 8, 2),
        goal(task, 3, 7, 3),
    ]
    assert all(geodesic_angle(first, other) > 1e-3 for other in others)


@pytest.mark.parametrize("task", TASKS)
def test_new_goals_are_never_within_the_success_angle(task):
    rng = np.random.default_rng(0)
    for number in range(40):
        current = random_quat(rng)
        sampled = goal(task, 0, 0, number, random_quat(rng), current)
        assert geodesic_angle(sampled, current) > SUCCESS_ANGLE


def test_spin_keeps_the_upper_face_up_and_face_up_puts_a_face_up():
    rng = np.random.default_rng(1)
    for number in range(30):
        start = random_quat(rng)
        spun = goal("spin", 0, 0, number, start, start)
        axis = np.argmax(np.abs(quat_to_matrix(start)[2]))
        assert abs(quat_to_matrix(spun)[2, axis]) == pytest.approx(1)
        assert np.sign(quat_to_matrix(spun)[2, axis]) == np.sign(quat_to_matrix(start)[2, axis])
        up = quat_to_matrix(goal("face-up", 0, 0, number))[2]
        assert np.max(np.abs(up)) == pytest.approx(1)


def test_reorient_goals_are_uniform_on_so3():
    traces = [
        np.trace(quat_to_matrix(goal("reorient", 0, e, 0, current=yaw_quat(np.pi))))
        for e in range(3000)
    ]
    # The trace of a uniform rotation has mean 0 and variance 1; the resampled 0.7 % are negligible.
    assert np.mean(traces) == pytest.approx(0.0, abs=0.1)
    assert np.var(traces) == pytest.approx(1.0, abs=0.1)


def test_upright_keeps_upright_orientations():
    quats = yaw_quat(np.array([0.0, 1.0, -2.0]))
    assert np.all(geodesic_angle(upright(quats), quats) < 1e-7)


def test_upright_rotates_by_the_smallest_angle():
    quats = random_quat(np.random.default_rng(0), (200,))
    result = upright(quats)
    vertical = np.abs(quat_to_matrix(quats)[:, 2]).max(axis=-1)
    np.testing.assert_allclose(np.abs(quat_to_matrix(result)[:, 2]).max(axis=-1), 1)
    np.testing.assert_allclose(geodesic_angle(result, quats), np.arccos(vertical), atol=1e-7)


def test_goals_do_not_depend_on_the_batch():
    quats = random_quat(np.random.default_rng(0), (6,))
    numbers = np.arange(6)
    for task in TASKS:
        for widest in (1.0, np.pi):
            together = sample_goals(
                task, 5, numbers, numbers % 3, GoalContext(quats, quats, widest)
            )
            for i in numbers:
                context = GoalContext(quats[i : i + 1], quats[i : i + 1], widest)
                alone = sample_goals(task, 5, numbers[i : i + 1], numbers[i : i + 1] % 3, context)
                np.testing.assert_array_equal(alone[0], together[i])


def test_the_tasks_of_an_object_are_those_that_have_goals_for_it():
    assert tasks_of((), NO_SYMMETRY) == TASKS
    assert tasks_of((), SymmetryGroup.generated([], np.array([0.0, 0, 1]))) == TASKS[1:]
    hinges = object_spec("face-cube").articulation.hinges
    assert tasks_of(hinges, NO_SYMMETRY) == (*TASKS, ROTATE_FACE)


@pytest.mark.parametrize("seconds", [math.inf, math.nan, 0.0, 0.03, -8.0])
def test_a_time_for_a_goal_without_an_action_or_an_end_is_refused(seconds):
    check_seconds_per_goal(CONTROL_PERIOD)
    with pytest.raises(InputError, match=r"seconds per goal is .* at least one action, 0\.08 s"):
        EnvConfig(seconds_per_goal=seconds)
