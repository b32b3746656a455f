"""The environment of `rotate-face`: observation, goals reached, faces counted."""

import numpy as np
import pytest

from opendactyl.policy.env.critic_observation import critic_size
from opendactyl.policy.env.env import HandEnv
from opendactyl.policy.env.episode_types import EnvConfig
from opendactyl.policy.interface.face_goals import turns_face
from opendactyl.sim.hands.shipped import hand_spec

BINS = np.full((6, 20), 5)


@pytest.mark.parametrize("randomization", ["none", "dactyl"])
def test_observations_contain_the_angles(randomization):
    config = EnvConfig(task="rotate-face", object="face-cube", randomization=randomization)
    env = HandEnv(config, 6, seed=3, threads=1)
    policy, critic = env.reset()
    assert policy.shape == (6, 50 + 12) and critic.shape == (6, critic_size(hand_spec(), 2))
    measured = env.true_measurement().hinges
    for angles, part in ((measured, policy[:, 50:54]), (env.goal[:, 4:], policy[:, 54:58]),
                         (env.goal[:, 4:] - measured, policy[:, 58:])):  # fmt: skip
        expected = np.concatenate([np.cos(angles), np.sin(angles)], axis=-1)
        np.testing.assert_allclose(part, expected, atol=1e-5)
    step = env.step(BINS)
    assert np.isfinite(step.reward).all() and env.state(0).hinges.shape == (2,)


def test_goals_need_pose_and_faces_and_turned_faces_are_counted():
    env = HandEnv(EnvConfig(task="rotate-face", object="face-cube"), 6, seed=3, threads=1)
    env.reset()
    env.goal[:, :4] = env.object_pose()[1]
    angles = env.true_measurement().hinges
    env.goal[:, 4:] = angles
    env.goal[:3, 4] += np.pi / 2  # the face is not turned yet
    env._turns[:] = turns_face(env.goal, angles - [[1.5, 0]])
    step = env.step(BINS)
    np.testing.assert_array_equal(step.reached, [False] * 3 + [True] * 3)
    np.testing.assert_array_equal(step.rotations[3:], [1, 1, 1])
    # Angle and hinges count in the reward: reaching gives 5.
    assert np.all(step.reward[3:] > 4)


def test_a_rigid_object_has_neither():
    env = HandEnv(EnvConfig(), 6, seed=3, threads=1)
    policy, _ = env.reset()
    assert policy.shape == (6, 50) and env.goal.shape == (6, 4)
    assert env.step(BINS).rotations is None
