"""Evaluation during training: whole episodes, and the goal angle that an agent can handle."""

import copy
import dataclasses
import math
import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from opendactyl.geometry.rotation import Array
from opendactyl.policy.collection.agent import Agent
from opendactyl.policy.collection.collector import Collector
from opendactyl.policy.env.env import HandEnv
from opendactyl.policy.env.episode_types import Difficulty, EnvConfig
from opendactyl.policy.interface.policy import Policy
from opendactyl.policy.interface.tasks import EVALUATION_SECONDS, MAX_GOALS, SELECTION_SEED_OFFSET
from opendactyl.policy.training.config import PolicyConfig
from opendactyl.policy.training.curriculum import FIRST_ANGLES, GROW_RATE, goal_rate

TIME_FRACTION = 0.08
"""Largest fraction of a run's time that evaluations take."""
FIRST_SECONDS = 300.0
"""Time of the first evaluation of a policy that starts from random weights."""
PROBE_HANDS, PROBE_ACTIONS, BISECTIONS = 64, 150, 5
"""Simulations, actions in each, and steps of the search for the first goal angle."""


class PeriodicEvaluation:
    """Evaluates an agent at intervals, within a fixed fraction of the training time."""

    def __init__(self, config: PolicyConfig) -> None:
        """Schedules the first evaluation; a warm-started policy is evaluated at once."""
        self._config = config
        self._next = 0.0 if config.warm_start else FIRST_SECONDS

    def due(self, seconds: float, finished: bool) -> bool:
        """Whether to evaluate after `seconds` of training, or at the end of the run."""
        return self._config.eval_episodes > 0 and (finished or seconds >= self._next)

    def mean_goals(self, agent: Agent, seconds: float) -> float:
        """Mean consecutive goals per episode, under the conditions of `evaluate --pose sim`.

        Args:
            agent: the acting agent.
            seconds: training time so far, from which the next evaluation is scheduled.
        """
        began = time.monotonic()
        config = self._config
        goals = whole_episodes(
            agent, config.environment(), config.eval_episodes, config.seed + SELECTION_SEED_OFFSET
        )
        self._next = seconds + (time.monotonic() - began) / TIME_FRACTION
        return float(goals.mean())


def episode_goals(
    policy: Policy, environment: EnvConfig, episodes: int, seed: int
) -> NDArray[np.int64]:
    """As `whole_episodes`, of a policy without privileged observations."""
    policy.begin(episodes)
    begun = np.zeros(episodes, dtype=bool)
    return _goals(environment, episodes, seed, lambda observed, _: policy.act(observed, begun))


def whole_episodes(
    agent: Agent, environment: EnvConfig, episodes: int, seed: int
) -> NDArray[np.int64]:
    """Consecutive goals (episodes,) in whole episodes, with 80 s for each goal (D18 6.2).

    Args:
        agent: the agent, which acts by the mean of its distribution.
        environment: the environment's settings.
        episodes: number of episodes, all simulated at once.
        seed: seed of initial states and goals.
    """
    memory = agent.initial_memory(episodes)

    def decide(policy: NDArray[np.float32], critic: NDArray[np.float32]) -> Array:
        nonlocal memory
        observed = agent.actor_input(torch.from_numpy(policy), torch.from_numpy(critic))
        bins, memory = agent.decide(observed, memory)
        return bins

    return _goals(environment, episodes, seed, decide)


def _goals(
    environment: EnvConfig,
    episodes: int,
    seed: int,
    decide: Callable[[NDArray[np.float32], NDArray[np.float32]], Array],
) -> NDArray[np.int64]:
    """Goals (episodes,) in whole episodes; `decide` maps both observations to bins."""
    settings = dataclasses.replace(
        environment,
        seconds_per_goal=EVALUATION_SECONDS,
        max_goals=MAX_GOALS,
        evaluation=True,
    )
    env = HandEnv(settings, episodes, seed=seed)
    observations = env.reset()
    goals = np.zeros(episodes, dtype=np.int64)
    while env.running.any():
        running = env.running.copy()
        step = env.step(decide(*observations))
        goals[running] = step.goals[running]
        observations = step.policy, step.critic
    return goals


def reachable_angle(agent: Agent, config: PolicyConfig, difficulty: Difficulty) -> float:
    """Largest goal angle in radians at which an agent reaches goals at the curriculum's rate.

    Bisects between the task's first angle, which is also the answer for an agent that is slower
    there, and π. Actions are sampled and every trial runs the same episodes.

    Args:
        agent: the acting agent.
        config: the settings of the run.
        difficulty: strength or bounds of the randomization.
    """
    agent = copy.deepcopy(agent).cpu()
    env = HandEnv(config.environment(), PROBE_HANDS, seed=config.seed)

    def sustains(angle: float) -> bool:
        env.difficulty = difficulty._replace(max_angle=angle)
        batch, _ = Collector(env, agent, config.seed).collect(PROBE_ACTIONS, env.difficulty)
        return goal_rate(batch) > GROW_RATE

    if sustains(math.pi):
        return math.pi
    low, high = FIRST_ANGLES[config.task], math.pi
    if not sustains(low):
        return low
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if sustains(middle) else (low, middle)
    return low
