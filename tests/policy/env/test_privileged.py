"""What the critic observes of the physics."""

import dataclasses

import numpy as np
import pytest

from opendactyl.policy.env.critic_observation import critic_size
from opendactyl.policy.env.env import HandEnv
from opendactyl.policy.env.episode_types import EnvConfig
from opendactyl.policy.interface.actions import BINS
from opendactyl.policy.randomization.config import PRESETS
from opendactyl.policy.randomization.privileged import episode_parameters, episode_size
from opendactyl.sim.hands.shipped import hand_spec
from opendactyl.sim.timing import CONTROL_PERIOD

NONE = PRESETS["none"]
CRITIC_SIZE = critic_size(hand_spec())
APPLIED, TIME = slice(104, 124), 124
PARAMETERS = slice(125, 125 + episode_size(hand_spec()))
SLACK = slice(PARAMETERS.stop, PARAMETERS.stop + 20)
DELAYED = slice(SLACK.stop, SLACK.stop + 20)
PUSH = slice(DELAYED.stop, CRITIC_SIZE)


def only(**changes):
    """An environment with only the named randomizations, and seeded bins for its actions."""
    env = HandEnv(EnvConfig(randomization=dataclasses.replace(NONE, **changes)), 3, seed=4)
    env.reset()
    return env, np.random.default_rng(0).integers(0, BINS, (20, 3, 20))


def test_the_critic_observes_417_values():
    assert CRITIC_SIZE == 417
    assert PUSH.stop - PUSH.start == 3


def test_the_critic_observes_the_parameters_of_its_episodes():
    env = HandEnv(EnvConfig(randomization="dactyl"), 3, seed=4)
    _, critic = env.reset()
    for observed, physics in zip(critic, env.randomizer.physics, strict=True):
        parameters = episode_parameters(physics)
        np.testing.assert_allclose(observed[PARAMETERS], parameters, rtol=1e-6)
        assert parameters[1] == pytest.approx(np.log(physics.object_size))
        assert parameters[2] == pytest.approx(np.log(physics.object_mass))
        assert 1000 * physics.timestep_extra in parameters
        assert set(1000 * physics.position_offset) <= set(parameters)
        assert not set(physics.link_mass) & set(parameters)


@pytest.mark.parametrize("calibrated", [False, True])
def test_the_critic_observes_the_slack(calibrated):
    if calibrated:
        env, bins = only(backlash_calibrated=True, backlash_jitter=0.0)
    else:
        env, bins = only(backlash=(5.0, 5.0))
    model = env.scene.model
    actuated = model.jnt_qposadr[model.actuator_trnid[:, 0]]
    angles = env.batch.bind("qpos")[:, actuated].copy()
    critic = env.step(bins[0]).critic
    low, high = env.scene.actuator_range.T
    unit = 1.0 if calibrated else (high - low) / 2
    command = (env.decoder.targets - angles) / unit
    rates = env.randomizer.physics[0].backlash
    expected = command * np.where(command < 0, *rates) * CONTROL_PERIOD
    np.testing.assert_allclose(critic[:, SLACK], np.clip(expected, -1, 1), atol=1e-5)
    assert np.any(np.abs(expected) < 1) and np.any(critic[:, SLACK] != 0)


@pytest.mark.parametrize("delay", [0.0, 1.0])
def test_the_critic_observes_delayed_and_applied_targets(delay):
    env, bins = only(action_delay=delay, gravity=1e-300)
    before = env.decoder.targets.copy()
    critic = env.step(bins[0]).critic
    applied = before if delay else env.decoder.targets
    np.testing.assert_allclose(critic[:, APPLIED], applied, atol=1e-6)
    np.testing.assert_allclose(critic[:, DELAYED], delay * env.decoder.scaled_targets, atol=1e-6)


def test_the_critic_observes_pushes_as_accelerations():
    env, bins = only(force_chance=(1.0, 1.0), force_scale=1.0, object_mass=(1.5, 1.5))
    critic = env.step(bins[0]).critic
    force = env.batch.bind("xfrc_applied")[:, env.scene.object_body, :3]
    np.testing.assert_allclose(critic[:, PUSH], force / (1.5 * 0.078), rtol=1e-5)
    assert np.abs(critic[:, PUSH]).max() > 0.3


def test_the_critic_observes_the_time_since_the_last_goal():
    env = HandEnv(EnvConfig(seconds_per_goal=0.8), 2, seed=2)
    assert np.all(env.reset()[1][:, TIME] == 0)
    bins = np.full((2, 20), 5)
    assert env.step(bins).critic[:, TIME] == pytest.approx([0.1, 0.1])
    env.goal[1] = env.object_pose()[1][1]
    assert env.step(bins).critic[:, TIME] == pytest.approx([0.2, 0.0])


def test_the_critics_observation_is_finite_without_and_with_randomization():
    for preset in PRESETS:
        env = HandEnv(EnvConfig(randomization=preset, seconds_per_goal=0.8), 3, seed=4)
        observed = [env.reset()[1]]
        for bins in np.random.default_rng(0).integers(0, BINS, (20, 3, 20)):
            step = env.step(bins)
            observed += [step.critic, step.final_critic]
        assert np.isfinite(observed).all()
        assert np.shape(observed)[-1] == CRITIC_SIZE
        assert (preset == "none") == (not np.any(np.array(observed)[..., PARAMETERS.start :]))
