"""Goals of `rotate-face` on the face cube."""

import numpy as np
import pytest

from opendactyl.core.errors import InputError
from opendactyl.geometry.articulation import wrap_angle
from opendactyl.geometry.rotation import (
    geodesic_angle,
    quat_from_axis_angle,
    quat_multiply,
    quat_rotate,
    random_quat,
    yaw_quat,
)
from opendactyl.policy.interface.face_goals import HINGE_SUCCESS, face_goal, turns_face
from opendactyl.policy.interface.tasks import (
    SUCCESS_ANGLE,
    GoalContext,
    check_task_of,
    goal_errors,
    sample_goals,
)
from opendactyl.sim.objects.shipped import object_spec

CUBE = object_spec("face-cube").articulation
UPSIDE_DOWN = np.array([0.0, 1.0, 0.0, 0.0])


def goals(quat, angles, max_angle=np.pi, count=400):
    rngs = [np.random.default_rng(seed) for seed in range(count)]
    return np.stack(
        [face_goal(rng, quat, np.array(angles), CUBE, max_angle, SUCCESS_ANGLE) for rng in rngs]
    )


@pytest.mark.parametrize(("start", "upper"), [([1.0, 0, 0, 0], 0), (UPSIDE_DOWN, 1)])
def test_half_of_the_goals_of_an_aligned_cube_turn_the_upper_face(start, upper):
    quat = quat_multiply(yaw_quat(0.7), start)
    found = goals(quat, [0.05, np.pi / 2])
    turned = turns_face(found, np.tile([0.05, np.pi / 2], (400, 1)))
    assert turned.mean() == pytest.approx(0.5, abs=0.1)
    moved = wrap_angle(found[turned, 4:] - [0, np.pi / 2])
    np.testing.assert_allclose(np.abs(moved[:, upper]), np.pi / 2, atol=1e-9)
    np.testing.assert_allclose(moved[:, 1 - upper], 0, atol=1e-9)
    assert 0.3 < np.mean(moved[:, upper] > 0) < 0.7
    np.testing.assert_allclose(geodesic_angle(found[turned, :4], quat), 0, atol=1e-6)
    # Flips bring either face up, and leave the faces aligned.
    flips = found[~turned]
    up = quat_rotate(flips[:, :4], np.array([0.0, 0.0, 1.0]))[:, 2]
    np.testing.assert_allclose(np.abs(up), 1, atol=1e-9)
    assert 0.3 < np.mean(up > 0) < 0.7
    np.testing.assert_allclose(wrap_angle(flips[:, 4:] - [0, np.pi / 2]), 0, atol=1e-9)


def test_no_goal_is_reached_when_it_is_sampled():
    rng = np.random.default_rng(0)
    for max_angle in (np.deg2rad(15), 1.0, np.pi):
        for _ in range(100):
            quat, angles = random_quat(rng), rng.uniform(-np.pi, np.pi, 2)
            goal = face_goal(rng, quat, angles, CUBE, max_angle, SUCCESS_ANGLE)[None]
            angle, turn = goal_errors("rotate-face", goal, quat[None], angles[None])
            assert angle[0] > SUCCESS_ANGLE or turn[0] > HINGE_SUCCESS


def test_the_curriculum_limits_turns_and_rotations():
    angle = np.deg2rad(15)
    found = goals(np.array([1.0, 0, 0, 0]), [0.0, 0.0], angle)
    turns = np.abs(found[:, 4])
    assert set(np.round(turns, 6)) == {0.0, round(angle, 6)}
    rotations = geodesic_angle(found[:, :4], [1.0, 0, 0, 0])
    assert rotations.max() == pytest.approx(SUCCESS_ANGLE + 0.1)
    # A face between two alignments is aligned again, without a rotation.
    back = goals(np.array([1.0, 0, 0, 0]), [angle, 0.0], angle, 20)
    np.testing.assert_allclose(back[:, 4:], 0, atol=1e-9)
    # A tilted cube goes to the nearest upright orientation.
    tilted = quat_from_axis_angle([1.0, 0, 0], 0.45)
    np.testing.assert_allclose(goals(tilted, [0.0, 0.0], angle, 5)[:, :4], [[1, 0, 0, 0]] * 5,
                               atol=1e-9)  # fmt: skip


def test_other_tasks_keep_the_angles_and_do_not_count_them():
    current, angles = np.array([[1.0, 0, 0, 0]]), np.array([[0.3, -1.0]])
    context = GoalContext(current, current, articulation=CUBE, angles=angles)
    number = np.array([0])
    found = sample_goals("reorient", 0, number, number, context)
    np.testing.assert_array_equal(found[:, 4:], angles)
    assert goal_errors("reorient", found, found[:, :4], angles + 1)[1][0] == 0


def test_the_task_needs_faces_that_turn_freely(object_folder):
    chest = object_spec(str(object_folder / "chest.toml"))
    check_task_of("rotate-face", "face-cube", CUBE.hinges)
    for obj, message in ((object_spec("block"), "has none; use --object face-cube"),
                         (chest, "the hinge lid of the object chest has limits")):  # fmt: skip
        with pytest.raises(InputError, match=message):
            check_task_of("rotate-face", obj.name, obj.articulation.hinges)
