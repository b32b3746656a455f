"""Training time until a policy reaches a median of goals; evaluations are not counted."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from opendactyl.policy.collection.agent import Agent
from opendactyl.policy.collection.async_collector import AnyCollector, Batch
from opendactyl.policy.env.episode_types import FULL_DIFFICULTY, Difficulty
from opendactyl.policy.training.config import PolicyConfig
from opendactyl.policy.training.evaluation import whole_episodes
from opendactyl.policy.training.metrics_log import MetricsLog
from opendactyl.policy.training.trainer import Trainer


@dataclass(frozen=True, kw_only=True)
class Target:
    """What a policy has to reach, and how often it is evaluated."""

    goals: float = 25.0
    """Median of consecutive goals."""
    episodes: int = 32
    """Episodes of each evaluation."""
    minutes: float = 1.0
    """Training time between two evaluations."""
    growth: float = 0.05
    """Or this fraction of the time so far, if that is longer."""


class GoalClock:
    """Measures training time, and evaluates in between until the target or the limit is reached."""

    def __init__(self, target: Target, limit: float = np.inf) -> None:
        """Starts.

        Args:
            target: what has to be reached.
            limit: minutes after which to give up.
        """
        self._target, self._limit = target, limit
        self._next = target.minutes
        self._began, self._paused = time.perf_counter(), 0.0
        self.curve: list[list[float]] = []
        """Minutes and median goals of each evaluation."""

    @property
    def minutes(self) -> float:
        """Training time so far."""
        return (time.perf_counter() - self._began - self._paused) / 60

    @property
    def due(self) -> bool:
        """Whether it is time for an evaluation."""
        return self.minutes >= self._next

    @property
    def reached(self) -> bool:
        """Whether the last evaluation reached the target."""
        return bool(self.curve) and self.curve[-1][1] >= self._target.goals

    @property
    def done(self) -> bool:
        """Whether the target or the limit is reached."""
        return self.reached or self.minutes >= self._limit

    def evaluate(self, goals: Callable[[int], NDArray[np.int64]]) -> None:
        """Stops the clock during an evaluation.

        Args:
            goals: gives the goals of a number of episodes.
        """
        minutes, began = self.minutes, time.perf_counter()
        self.curve.append([minutes, float(np.median(goals(self._target.episodes)))])
        self._next = minutes + max(self._target.minutes, self._target.growth * minutes)
        self._paused += time.perf_counter() - began


class TimedTrainer(Trainer):
    """`train-policy` without its own evaluations, which ends when a clock is done.

    The teacher is not evaluated: it observes what a robot cannot measure.
    """

    def __init__(self, config: PolicyConfig, folder: Path, clock: GoalClock, seed: int) -> None:
        """Builds environment and agents.

        Args:
            config: the settings, with `eval_episodes` 0.
            folder: the run folder.
            clock: the clock, already started.
            seed: seed of the evaluation episodes.
        """
        super().__init__(config, folder)
        self._clock, self._seed = clock, seed
        self._collecting = threading.Lock()

    @property
    def finished(self) -> bool:
        """Whether the clock is done or the training has ended."""
        return self._clock.done or super().finished

    def _advance(self, log: MetricsLog, bar: "tqdm[Any]") -> dict[str, Any]:
        row = super()._advance(log, bar)
        if self._stage != "teacher" and self._clock.due:
            # The next batch is being collected: it is waited for while the clock is running.
            with self._collecting:
                self._clock.evaluate(partial(self._goals, self.state.averaged_student))
        return row

    def _goals(self, agent: Agent, episodes: int) -> NDArray[np.int64]:
        return whole_episodes(agent, self.config.environment(), episodes, self._seed)

    def _make_collector(self, agent: Agent, seed: int) -> AnyCollector:
        return _Locked(super()._make_collector(agent, seed), self._collecting)


class _Locked:
    """A collector that holds a lock while it collects."""

    def __init__(self, collector: AnyCollector, lock: threading.Lock) -> None:
        self._collector, self._lock = collector, lock

    def collect(self, horizon: int, difficulty: Difficulty = FULL_DIFFICULTY) -> Batch:
        """Collects under the lock."""
        with self._lock:
            return self._collector.collect(horizon, difficulty)

    def close(self) -> None:
        """Closes the collector."""
        self._collector.close()
