"""What a batch of experience contains."""

import numpy as np
import torch

from opendactyl.policy.collection.agent import Agent
from opendactyl.policy.collection.collector import Collector
from opendactyl.policy.env.env import HandEnv
from opendactyl.policy.env.episode_types import Difficulty, EnvConfig
from opendactyl.policy.env.reward import FINISHED, TIMED_OUT


def test_batches_tell_reached_goals_failures_and_strengths_apart():
    config = EnvConfig(
        randomization="dactyl", seconds_per_goal=0.24, max_goals=1, weaker_fraction=0.5
    )
    env = HandEnv(config, 8, seed=3)
    agent = Agent(50, hidden=16, memory="none", privileged=False)
    steps, strengths = [], []
    original = env.step

    def recording_step(bins):
        if not steps:
            env.goal[0] = env.object_pose()[1][0]
        strengths.append(env.strength.copy())
        steps.append(original(bins))
        return steps[-1]

    env.step = recording_step
    env.difficulty = Difficulty(strength=0.5)
    batch, _ = Collector(env, agent, seed=0).collect(5, Difficulty(strength=0.5))
    for step, result in enumerate(steps):
        ended = result.terminated | result.truncated
        np.testing.assert_array_equal(batch["reached"][:, step, 0], result.reached)
        np.testing.assert_array_equal(
            batch["failed"][:, step, 0], ended & (result.outcome != FINISHED)
        )
        np.testing.assert_allclose(batch["strength"][:, step, 0], strengths[step], rtol=1e-6)
    outcomes = np.stack([result.outcome for result in steps])
    assert outcomes[0, 0] == FINISHED and (outcomes == TIMED_OUT).any()
    assert batch["reached"][0, 0, 0] and batch["done"][0, 0, 0] and not batch["failed"][0, 0, 0]
    assert torch.any(batch["strength"] < 0.5) and batch["strength"].max() == 0.5
