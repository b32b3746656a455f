"""Layout `cube`: what is observed of a cube does not depend on its letters."""

import numpy as np
import pytest

from opendactyl.core.errors import InputError
from opendactyl.geometry.rotation import (
    geodesic_angle,
    quat_conjugate,
    quat_multiply,
    random_quat,
)
from opendactyl.geometry.symmetry import CUBE_ROTATIONS
from opendactyl.policy.env.env import HandEnv
from opendactyl.policy.env.episode_types import EnvConfig
from opendactyl.policy.interface.observations import (
    LAYOUTS,
    HandSize,
    Measurement,
    build_observation,
    critic_fields,
)

HAND = HandSize(24, 20, 5)
COUNT = len(CUBE_ROTATIONS)


def observe(quats, goals, layout="cube"):
    count = len(quats)
    measured = Measurement(
        np.zeros((count, 5, 3)), np.zeros((count, 3)), quats, np.zeros((count, 24))
    )
    fields = [f for f in LAYOUTS[layout] if "goal" in f or "quaternion" in f]
    return build_observation(tuple(fields), measured, goals, np.zeros((count, 20)))


def test_the_24_orientations_of_a_cube_are_observed_alike():
    rng = np.random.default_rng(0)
    for quat, goal in zip(random_quat(rng, (20,)), random_quat(rng, (20,)), strict=True):
        values = observe(quat_multiply(quat, CUBE_ROTATIONS), quat_multiply(goal, CUBE_ROTATIONS))
        np.testing.assert_allclose(values, np.tile(values[:1], (COUNT, 1)), atol=1e-6)
        raw = observe(
            quat_multiply(quat, CUBE_ROTATIONS), quat_multiply(goal, CUBE_ROTATIONS), "default"
        )
        assert np.ptp(raw[:, :8], axis=0).min() > 0.5


def test_orientation_goal_and_their_difference_belong_together():
    rng = np.random.default_rng(1)
    quats, goals = random_quat(rng, (200,)), random_quat(rng, (200,))
    quat, goal, relative = np.split(observe(quats, goals).astype(float), 3, axis=1)
    assert np.all(geodesic_angle(quat_multiply(goal, quat_conjugate(quat)), relative) < 1e-3)
    # Every orientation is within 62.8° of one of the cube's rotations.
    assert np.rad2deg(2 * np.arccos(quat[:, 0])).max() < 62.8


def test_the_critic_of_such_a_policy_observes_the_cube_too():
    fields = critic_fields(LAYOUTS["cube"], HAND)
    assert "cube_quaternion" in fields and "object_quaternion" not in fields
    assert "cube_goal_quaternion" in fields and "joints" in fields
    assert critic_fields(LAYOUTS["default"], HAND) == LAYOUTS["joints"]
    config = EnvConfig(task="reorient", layout="cube")
    env = HandEnv(config, 2, seed=3)
    policy, critic = env.reset()
    start = sum(size for _, size in list(config.observation_fields.items())[:2])
    np.testing.assert_allclose(policy[:, start : start + 12], critic[:, start : start + 12], 1e-6)


@pytest.mark.parametrize("name", ["prism", "face-cube"])
def test_other_objects_are_refused(name):
    with pytest.raises(InputError, match=f"needs an object that is a cube, and {name} is none"):
        EnvConfig(task="reorient", layout="cube", object=name)
