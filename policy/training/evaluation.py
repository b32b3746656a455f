"""How good a policy is by the measure that counts: whole episodes, nothing drawn."""

import dataclasses
import time

import numpy as np
import torch
from numpy.typing import NDArray

from opendactyl.policy.collection.agent import Agent
from opendactyl.policy.env.env import HandEnv
from opendactyl.policy.env.episode_types import EnvConfig
from opendactyl.policy.interface.tasks import EVALUATION_SECONDS, SELECTION_SEED_OFFSET
from opendactyl.policy.training.config import PolicyConfig

SHARE = 0.08
"""The share of a run's time that examinations may take."""
FIRST_SECONDS = 300.0
"""A fresh policy is examined after this long; a warm-started one at once."""


class PeriodicEvaluation:
    """Examines an agent now and then: never for long, since it trains nothing."""

    def __init__(self, config: PolicyConfig) -> None:
        """Makes nothing until it is needed."""
        self._config = config
        self._next = 0.0 if config.warm_start else FIRST_SECONDS

    def due(self, seconds: float, finished: bool) -> bool:
        """Whether a run of this age, or one that is finished, should be examined."""
        return self._config.eval_episodes > 0 and (finished or seconds >= self._next)

    def mean_goals(self, agent: Agent, seconds: float) -> float:
        """Consecutive goals an episode, as `evaluate --pose sim` counts them.

        Args:
            agent: who acts.
            seconds: the run's age, from which the next examination follows.
        """
        began = time.monotonic()
        config = self._config
        goals = whole_episodes(
            agent, config.environment(), config.eval_episodes, config.seed + SELECTION_SEED_OFFSET
        )
        self._next = seconds + (time.monotonic() - began) / SHARE
        return float(goals.mean())


def whole_episodes(
    agent: Agent, environment: EnvConfig, episodes: int, seed: int
) -> NDArray[np.int64]:
    """Consecutive goals (episodes,) in whole episodes, with 80 s for each (D18 6.2).

    Args:
        agent: who acts, by the mean of its distribution.
        environment: the environment's settings.
        episodes: how many.
        seed: of starts and goals.
    """
    settings = dataclasses.replace(
        environment, seconds_per_goal=EVALUATION_SECONDS, evaluation=True
    )
    env = HandEnv(settings, episodes, seed=seed)
    policy, critic = (torch.from_numpy(seen) for seen in env.reset())
    memory = agent.initial_memory(episodes)
    goals = np.zeros(episodes, dtype=np.int64)
    while env.running.any():
        running = env.running.copy()
        bins, memory = agent.decide(agent.seen(policy, critic), memory)
        step = env.step(bins)
        goals[running] = step.goals[running]
        policy, critic = torch.from_numpy(step.policy), torch.from_numpy(step.critic)
    return goals
