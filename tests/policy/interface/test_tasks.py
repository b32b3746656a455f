"""Goals: what each task asks for."""

import numpy as np
import pytest

from opendactyl.geometry.rotation import geodesic_angle, quat_to_matrix, random_quat, yaw_quat
from opendactyl.policy.interface.tasks import SUCCESS_ANGLE, TASKS, GoalContext, goals, upright

IDENTITY = np.array([1.0, 0, 0, 0])


def goal(task, seed, episode, number, start=IDENTITY, present=IDENTITY):
    """One goal of one episode."""
    context = GoalContext(start[None], present[None])
    return goals(task, seed, np.array([episode]), np.array([number]), context)[0]


@pytest.mark.parametrize("task", TASKS)
def test_goals_depend_on_seed_episode_and_number_alone(task):
    first = goal(task, 3, 7, 2)
    np.testing.assert_array_equal(goal(task, 3, 7, 2), first)
    others = [
        goal(task, 4, 7, 2),
        goal(task, 3, 8, 2),
        goal(task, 3, 7, 3),
    ]
    assert all(geodesic_angle(first, other) > 1e-3 for other in others)


@pytest.mark.parametrize("task", TASKS)
def test_goals_are_never_reached_already(task):
    rng = np.random.default_rng(0)
    for number in range(40):
        present = random_quat(rng)
        drawn = goal(task, 0, 0, number, random_quat(rng), present)
        assert geodesic_angle(drawn, present) > SUCCESS_ANGLE


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
        np.trace(quat_to_matrix(goal("reorient", 0, e, 0, present=yaw_quat(np.pi))))
        for e in range(3000)
    ]
    # The trace of a uniform rotation has mean 0 and variance 1; the redrawn 0.7 % hardly show.
    assert np.mean(traces) == pytest.approx(0.0, abs=0.1)
    assert np.var(traces) == pytest.approx(1.0, abs=0.1)


def test_upright_changes_nothing_that_stands_upright():
    standing = yaw_quat(np.array([0.0, 1.0, -2.0]))
    assert np.all(geodesic_angle(upright(standing), standing) < 1e-7)


def test_upright_turns_no_further_than_it_must():
    quats = random_quat(np.random.default_rng(0), (200,))
    stood = upright(quats)
    vertical = np.abs(quat_to_matrix(quats)[:, 2]).max(axis=-1)
    np.testing.assert_allclose(np.abs(quat_to_matrix(stood)[:, 2]).max(axis=-1), 1)
    np.testing.assert_allclose(geodesic_angle(stood, quats), np.arccos(vertical), atol=1e-7)


def test_goals_are_the_same_together_and_alone():
    quats = random_quat(np.random.default_rng(0), (6,))
    numbers = np.arange(6)
    for task in TASKS:
        for widest in (1.0, np.pi):
            together = goals(task, 5, numbers, numbers % 3, GoalContext(quats, quats, widest))
            for i in numbers:
                context = GoalContext(quats[i : i + 1], quats[i : i + 1], widest)
                alone = goals(task, 5, numbers[i : i + 1], numbers[i : i + 1] % 3, context)
                np.testing.assert_array_equal(alone[0], together[i])
