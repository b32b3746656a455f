import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.error import InvalidAction, ResetNeeded
from gymnasium.utils.env_checker import check_env

import opendactyl.policy
from opendactyl.core.errors import InputError
from opendactyl.policy.env.episode_types import EnvConfig
from opendactyl.policy.env.gym_vector_env import HandVectorEnv
from opendactyl.policy.interface.actions import ActionConfig

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


def test_resets_without_a_seed_start_new_episodes():
    env, beside = (gymnasium.make("OpenDactyl/Reorient-v0") for _ in range(2))
    rows = [env.reset()[0], env.reset()[0], beside.reset()[0], env.reset(seed=0)[0], env.reset()[0]]
    assert len(np.unique(rows, axis=0)) == 5


def test_wrong_actions_and_options_are_refused():
    env = gymnasium.make("OpenDactyl/Spin-v0").unwrapped
    action = np.full(20, 5)
    with pytest.raises(ResetNeeded):
        env.step(action)
    env.reset(seed=0)
    nan = np.full(20, 5.0)
    nan[3] = np.nan
    words = ["5"] * 20
    for wrong in (nan, action + 6, action - 6, action[:19], action[None], 5, words, [[1], [2, 3]]):
        with pytest.raises(InvalidAction):
            env.step(wrong)
    with pytest.raises(ValueError, match="unknown options of reset: goal"):
        env.reset(options={"goal": 1})
    # Nothing has changed, and a list or the mean of two bins is an action.
    first = env.step(np.full(20, 5.5).tolist())
    env.reset(seed=0)
    np.testing.assert_array_equal(env.step(np.full(20, 5.5))[0], first[0])


def test_an_episode_that_has_ended_needs_a_reset():
    env = gymnasium.make("OpenDactyl/Spin-v0", seconds_per_goal=0.08)
    env.reset(seed=0)
    *_, truncated, _ = env.step(np.full(20, 5))
    assert truncated
    with pytest.raises(ResetNeeded):
        env.step(np.full(20, 5))
    env.reset()
    env.step(np.full(20, 5))


def test_an_observation_that_may_be_nan_is_refused():
    with pytest.raises(InputError, match="layout physics is NaN where a hand does not measure"):
        gymnasium.make("OpenDactyl/Spin-v0", layout="physics")


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


def test_options_take_the_values_of_the_command_line(tmp_path):
    ranges = tmp_path / "ranges.toml"
    ranges.write_text('preset = "vision"\n')
    config = EnvConfig(action=ActionConfig(mode="relative"), randomization="vision", layout="d18")
    named = {"action": "relative", "randomization": ranges, "layout": "d18"}
    by_config = gymnasium.make("OpenDactyl/FaceUp-v0", config=config)
    by_name = gymnasium.make("OpenDactyl/FaceUp-v0", **named)
    np.testing.assert_array_equal(rollout(by_config, 1), rollout(by_name, 1))
    smoother = gymnasium.make("OpenDactyl/FaceUp-v0", smoothing=0.9, **named)
    assert not np.array_equal(rollout(smoother, 1), rollout(by_name, 1))
    assert EnvConfig(action="relative").action_config() == ActionConfig(mode="relative")


def test_invalid_options_are_refused():
    for options in (
        {"layout": "x"}, {"randomization": "x"}, {"start_actions": 1}, {"object": "x"},
        {"action": "x"}, {"smoothing": 1.0}, {"observation": "x"}, {"task": "x"},
    ):  # fmt: skip
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
