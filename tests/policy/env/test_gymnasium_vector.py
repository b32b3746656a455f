import gymnasium
import numpy as np
import pytest
from gymnasium.error import InvalidAction, ResetNeeded
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from opendactyl.core.errors import InputError
from opendactyl.policy.env.env import HandEnv
from opendactyl.policy.env.episode_types import EnvConfig
from opendactyl.policy.env.gym_vector_env import HandVectorEnv

SHORT = {"seconds_per_goal": 0.16}  # two actions, unless a goal is reached
ACTION = np.full((3, 20), 7)


def sequence(env, steps=7, **options):
    """Observations of each simulation, in order, including those before a restart."""
    observation, _ = env.reset(seed=2, **options)
    rows = [[row] for row in observation]
    for _ in range(steps):
        observation, *_, info = env.step(ACTION)
        for i, row in enumerate(rows):
            if "final_obs" in info and info["_final_obs"][i]:
                row.append(info["final_obs"][i])
            row.append(observation[i])
    return rows


def test_it_keeps_to_its_spaces_and_seed():
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


def test_it_returns_the_types_that_gymnasiums_own_vector_environment_does():
    def form(value):
        if isinstance(value, dict):
            return {key: form(part) for key, part in value.items()}
        return type(value), value.dtype, value.shape

    own = gymnasium.make_vec("OpenDactyl/Spin-v0", num_envs=3, **SHORT)
    reference = gymnasium.make_vec(
        "OpenDactyl/Spin-v0", num_envs=3, vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": AutoresetMode.SAME_STEP}, **SHORT,
    )  # fmt: skip
    assert isinstance(reference, SyncVectorEnv)
    assert own.observation_space == reference.observation_space
    assert own.action_space == reference.action_space
    assert own.metadata == reference.metadata
    for env in (own, reference):
        env.reset(seed=1)
    for _ in range(2):
        one, other = own.step(ACTION), reference.step(ACTION)
        assert [form(value) for value in one[:4]] == [form(value) for value in other[:4]]
    assert form(one[4])["final_info"] == form(other[4])["final_info"]
    assert one[4]["final_obs"].dtype == other[4]["final_obs"].dtype == object
    assert form(one[4]["final_obs"][0]) == form(other[4]["final_obs"][0])


def test_resets_without_a_seed_start_new_episodes():
    env = HandVectorEnv(num_envs=3)
    rows = np.concatenate([env.reset()[0] for _ in range(3)])
    assert len(np.unique(rows, axis=0)) == 9
    beside = HandVectorEnv(num_envs=3)
    assert not np.array_equal(beside.reset()[0], rows[:3])
    first, second = (HandVectorEnv(num_envs=3, seed=5).reset()[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("mode", ["SAME_STEP", "NEXT_STEP"])
def test_seeded_episodes_are_equal_on_any_number_of_threads(mode):
    def run(threads):
        options = {"randomization": "dactyl", "autoreset_mode": mode, "threads": threads} | SHORT
        env = HandVectorEnv(num_envs=3, **options)
        env.reset(seed=8)
        rows = [env.step(ACTION)[0] for _ in range(5)]
        rows.append(env.reset()[0])
        rows.append(env.reset(options={"reset_mask": np.array([True, False, True])})[0])
        return np.stack(rows)

    one = run(1)
    np.testing.assert_array_equal(run(2), one)
    np.testing.assert_array_equal(run(3), one)


def test_episodes_are_those_of_the_environment_of_the_training():
    options = {"randomization": "dactyl"} | SHORT
    env = HandVectorEnv(num_envs=3, **options)
    inner = HandEnv(EnvConfig(**options), 3, seed=6)
    np.testing.assert_array_equal(env.reset(seed=6)[0], inner.reset()[0])
    ended = 0
    for _ in range(5):
        observation, reward, terminated, truncated, info = env.step(ACTION)
        step = inner.step(ACTION)
        np.testing.assert_array_equal(observation, step.policy)
        np.testing.assert_array_equal(info["critic"], step.critic)
        np.testing.assert_array_equal(reward, step.reward.astype(np.float64))
        np.testing.assert_array_equal(terminated | truncated, step.outcome != 0)
        for i in np.flatnonzero(terminated | truncated):
            np.testing.assert_array_equal(info["final_obs"][i], step.final_policy[i])
            np.testing.assert_array_equal(info["final_info"]["critic"][i], step.final_critic[i])
            ended += 1
    assert ended >= 3


def test_both_modes_give_the_same_episodes():
    options = {"randomization": "vision"} | SHORT
    same = sequence(HandVectorEnv(num_envs=3, **options))
    env = HandVectorEnv(num_envs=3, autoreset_mode="NEXT_STEP", **options)
    assert env.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP
    for row, other in zip(same, sequence(env), strict=True):
        assert len(row) > len(other)
        np.testing.assert_array_equal(row[: len(other)], other)


def test_the_next_step_restarts_and_ignores_the_action():
    env = HandVectorEnv(num_envs=1, autoreset_mode=AutoresetMode.NEXT_STEP, **SHORT)
    env.reset(seed=0)
    for _ in range(2):
        _, _, _, truncated, info = env.step(ACTION[:1])
    assert truncated[0] and "final_obs" not in info
    observation, reward, terminated, truncated, info = env.step(ACTION[:1])
    assert (reward[0], terminated[0], truncated[0], info["goals"][0]) == (0.0, False, False, 0)
    env.reset(seed=0)
    np.testing.assert_array_equal(env.reset()[0], observation)


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_a_mask_restarts_a_part(mode):
    env = HandVectorEnv(num_envs=3, autoreset_mode=mode)
    env.reset(seed=3)
    before = env.step(ACTION)[0]
    mask = np.array([False, True, False])
    options = {"reset_mask": mask}
    after, info = env.reset(options=options)
    assert options == {"reset_mask": mask}
    np.testing.assert_array_equal(after[~mask], before[~mask])
    assert not np.array_equal(after[1], before[1])
    np.testing.assert_array_equal(info["_critic"], mask)
    env.reset(seed=3)
    np.testing.assert_array_equal(env.reset()[0][1], after[1])
    # The others continue as if nothing had happened.
    env.reset(seed=3)
    env.step(ACTION)
    following = env.step(ACTION)[0]
    env.reset(seed=3)
    env.step(ACTION)
    env.reset(options=options)
    np.testing.assert_array_equal(env.step(ACTION)[0][~mask], following[~mask])


def test_disabled_needs_a_reset():
    env = HandVectorEnv(num_envs=3, autoreset_mode="Disabled", **SHORT)
    with pytest.raises(ResetNeeded):
        env.step(ACTION)
    env.reset(seed=0)
    ended = np.zeros(3, dtype=bool)
    while not ended.any():
        _, _, terminated, truncated, _ = env.step(ACTION)
        ended = terminated | truncated
    with pytest.raises(ResetNeeded):
        env.step(ACTION)
    env.reset(options={"reset_mask": ended})
    assert env.step(ACTION)[0].shape == (3, 50)


def test_wrong_arguments_are_refused():
    env = HandVectorEnv(num_envs=3)
    with pytest.raises(ResetNeeded):
        env.reset(options={"reset_mask": np.array([True, False, False])})
    first, _ = env.reset(seed=0)
    for wrong in (
        [True, False], np.ones(2, dtype=bool), np.zeros(3, dtype=bool), np.array([1, 0, 1]), None,
    ):  # fmt: skip
        with pytest.raises(ValueError, match="reset_mask"):
            env.reset(options={"reset_mask": wrong})
    with pytest.raises(ValueError, match="unknown options of reset: difficulty"):
        env.reset(options={"difficulty": 1})
    with pytest.raises(InputError, match="leave out seed or reset_mask"):
        env.reset(seed=1, options={"reset_mask": np.array([True, False, False])})
    with pytest.raises(InputError, match="one seed"):
        env.reset(seed=[1, 2, 3])
    with pytest.raises(InputError, match="NEXT_STEP"):
        HandVectorEnv(autoreset_mode="never")
    for wrong in (ACTION[:2], ACTION[0], np.where(ACTION == 7, np.nan, 0.0), ACTION + 4, -ACTION):
        with pytest.raises(InvalidAction):
            env.step(wrong)
    env.reset(options={"reset_mask": np.ones(3, dtype=bool)})
    np.testing.assert_array_equal(env.reset(seed=0)[0], first)
