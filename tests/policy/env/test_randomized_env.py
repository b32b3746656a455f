"""The environment under randomization."""

import dataclasses

import numpy as np
import pytest

from opendactyl.policy.env.env import HandEnv
from opendactyl.policy.env.episode_types import EnvConfig
from opendactyl.policy.env.reward import RUNNING
from opendactyl.policy.interface.actions import BINS
from opendactyl.policy.randomization.config import PRESETS
from opendactyl.sim.timing import CONTROL_PERIOD

NONE = PRESETS["none"]


def actions(seed, steps, count):
    return np.random.default_rng(seed).integers(0, BINS, (steps, count, 20))


def only(**changes):
    """Settings with only the named randomizations."""
    return EnvConfig(randomization=dataclasses.replace(NONE, **changes))


@pytest.mark.parametrize("preset", ["dactyl", "vision"])
def test_randomized_environments_are_reproducible_bit_for_bit(preset):
    settings = EnvConfig(randomization=preset, seconds_per_goal=0.8)
    runs = []
    env = HandEnv(settings, 4, seed=5, threads=2)
    for instance, seed in ((HandEnv(settings, 4, seed=5, threads=1), None), (env, None), (env, 5)):
        observations = [np.concatenate(instance.reset(seed), axis=1)]
        for bins in actions(0, 25, 4):
            step = instance.step(bins)
            observations.append(np.concatenate([step.policy, step.critic], axis=1))
        runs.append(np.stack(observations))
    np.testing.assert_array_equal(runs[0], runs[1])
    np.testing.assert_array_equal(runs[0], runs[2])
    assert np.isfinite(runs[0]).all()
    assert not np.array_equal(env.reset(6)[1], runs[0][0][:, 50:])


def test_a_randomized_episode_does_not_depend_on_the_batch():
    settings = EnvConfig(randomization="vision", evaluation=True)
    many, one = HandEnv(settings, 4, seed=1), HandEnv(settings, 1, seed=1, first_episode=2)
    many.reset(), one.reset()
    for bins in actions(1, 20, 4):
        together, alone = many.step(bins), one.step(bins[2:3])
        np.testing.assert_array_equal(together.policy[2], alone.policy[0])
        np.testing.assert_array_equal(together.critic[2], alone.critic[0])


def test_a_randomization_of_zero_width_changes_nothing():
    plain, none = HandEnv(EnvConfig(), 2, seed=1), HandEnv(only(gravity=1e-300), 2, seed=1)
    np.testing.assert_array_equal(plain.reset()[0], none.reset()[0])
    for bins in actions(1, 15, 2):
        first, second = plain.step(bins), none.step(bins)
        np.testing.assert_allclose(first.policy, second.policy, atol=1e-6)


def test_only_the_critic_observes_true_values():
    env = HandEnv(only(position_offset=0.005, rotation_offset=0.1, fingertip_offset=0.001), 3)
    policy, critic = env.reset()
    true, measured = env.true_measurement(), env.measured
    np.testing.assert_allclose(critic[:, 15:18], true.object_position, atol=1e-6)
    np.testing.assert_allclose(policy[:, 15:18], measured.object_position, atol=1e-6)
    assert np.all(np.linalg.norm(policy[:, 15:18] - critic[:, 15:18], axis=1) > 1e-4)
    assert np.all(np.abs(policy[:, :15] - critic[:, :15]) > 0)


def test_every_episode_samples_new_physics():
    env = HandEnv(EnvConfig(randomization="dactyl", seconds_per_goal=0.24), 3)
    env.reset()
    first = [p.to_dict() for p in env.randomizer.physics]
    masses = env.batch.expanded("body_mass").copy()
    for bins in actions(2, 3, 3):
        step = env.step(bins)
    assert (step.outcome != RUNNING).any()
    for i in np.flatnonzero(step.outcome != RUNNING):
        assert env.randomizer.physics[i].to_dict() != first[i]
        assert np.all(env.batch.expanded("body_mass")[i, env.scene.object_body] != masses[i])


def test_randomized_steps_have_different_durations():
    env = HandEnv(only(timestep_rate=(1250.0, 1250.0)), 4)
    env.reset()
    times = env.batch.bind("time")
    elapsed = []
    for bins in actions(0, 10, 4):
        before = times.copy()
        env.step(bins)
        elapsed.append(times - before)
    assert np.all(np.array(elapsed) > CONTROL_PERIOD)
    assert np.unique(np.round(elapsed, 9)).size > 30
