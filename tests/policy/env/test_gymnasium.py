import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import opendactyl.policy
from opendactyl.core.errors import InputError
from opendactyl.policy.env.gym_vector_env import HandVectorEnv

NAMES = ("Spin", "FaceUp", "Reorient")
assert opendactyl.policy.__doc__


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("randomization", ["none", "vision"])
def test_environments_pass_the_checker_of_gymnasium(name, randomization):
    env = gymnasium.make(f"OpenDactyl/{name}-v0", randomization=randomization)
    check_env(env.unwrapped, skip_render_check=True)


def rollout(env, seed, steps=12):
    """Observations of seeded episodes with seeded actions."""
    observations = [env.reset(seed=seed)[0]]
    env.action_space.seed(0)
    for _ in range(steps):
        observation, _, terminated, truncated, _ = env.step(env.action_space.sample())
        observations.append(observation)
        if np.ndim(terminated) == 0 and (terminated or truncated):
            observations.append(env.reset()[0])
    return np.stack(observations)


def test_seeded_resets_are_reproducible_bit_for_bit():
    options = {"randomization": "dactyl", "seconds_per_goal": 0.4}
    single = gymnasium.make("OpenDactyl/Reorient-v0", **options)
    first = rollout(single, 3)
    np.testing.assert_array_equal(rollout(single, 3), first)
    np.testing.assert_array_equal(
        rollout(gymnasium.make("OpenDactyl/Reorient-v0", **options), 3), first
    )
    assert not np.array_equal(rollout(single, 4), first)
    batched = gymnasium.make_vec("OpenDactyl/Reorient-v0", num_envs=3, **options)
    np.testing.assert_array_equal(rollout(batched, 3), rollout(batched, 3))


def test_a_reset_without_a_seed_starts_the_next_episode():
    env = gymnasium.make("OpenDactyl/Reorient-v0")
    first, _ = env.reset(seed=0)
    second, _ = env.reset()
    assert not np.array_equal(first, second)


def test_make_vec_returns_the_batched_environment():
    env = gymnasium.make_vec("OpenDactyl/FaceUp-v0", num_envs=3, layout="joints")
    assert isinstance(env.unwrapped, HandVectorEnv)
    observation, info = env.reset(seed=0)
    assert observation.shape == (3, 74)
    assert env.observation_space.contains(observation)
    assert info["critic"].shape[0] == 3
    with pytest.raises(InputError, match="one seed"):
        env.reset(seed=[1, 2, 3])


def test_ended_episodes_restart_and_return_their_last_observation():
    env = gymnasium.make_vec("OpenDactyl/Spin-v0", num_envs=2, seconds_per_goal=0.16)
    env.reset(seed=0)
    env.step(env.action_space.sample())
    observation, _, _, truncated, info = env.step(env.action_space.sample())
    assert truncated.any()
    for i in np.flatnonzero(truncated):
        assert info["_final_obs"][i]
        assert not np.array_equal(info["final_obs"][i], observation[i])


def test_dactyls_settings_are_available_as_options():
    from opendactyl.policy.interface.actions import ActionConfig

    env = gymnasium.make(
        "OpenDactyl/FaceUp-v0",
        layout="d18",
        action=ActionConfig(mode="relative", smoothing=0.3),
        seconds_per_goal=8.0,
        randomization="dactyl",
        start_actions=100,
    )
    observation, _ = env.reset(seed=0)
    assert observation.shape == (22,)


def test_invalid_options_are_refused():
    for options in ({"layout": "x"}, {"randomization": "x"}, {"start_actions": 1}, {"object": "x"}):
        with pytest.raises(InputError):
            gymnasium.make("OpenDactyl/Spin-v0", **options)
    with pytest.raises(InputError, match="seconds per goal"):
        gymnasium.make("OpenDactyl/Spin-v0", seconds_per_goal=0.0)


@pytest.mark.parametrize("hidden", [(), ("gymnasium",)])
def test_importing_the_package_imports_no_simulator(hidden):
    code = f"""
import sys
for name in {hidden!r}:
    sys.modules[name] = None
import opendactyl.policy, opendactyl.policy.interface.observations
print([name for name in ("mujoco", "torch", "torchrl", "ray") if name in sys.modules])
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.stdout.strip() == "[]", result.stderr


def test_the_vector_environment_keeps_to_its_spaces_and_seed():
    env = HandVectorEnv(num_envs=3)
    first, _ = env.reset(seed=4)
    assert env.observation_space.contains(first)
    env.action_space.seed(0)
    chosen = env.action_space.sample()
    observation, reward, terminated, truncated, _ = env.step(chosen)
    assert reward.shape == terminated.shape == truncated.shape == (3,)
    again, _ = env.reset(seed=4)
    np.testing.assert_array_equal(again, first)
    np.testing.assert_array_equal(env.step(chosen)[0], observation)
