"""Collects the next batch in a thread while the learner trains on the last one.

The acting copy of the agent is one update behind; `PPO` corrects for it by importance weights.
"""

import copy
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import torch
from tensordict import TensorDict

from opendactyl.policy.collection.agent import Agent
from opendactyl.policy.collection.collector import Episodes
from opendactyl.policy.env.episode_types import FULL_DIFFICULTY, Difficulty

Batch = tuple[TensorDict, Episodes]

_log = logging.getLogger(__name__)


class AnyCollector(Protocol):
    """Interface of `Collector` and `RayCollector`."""

    def collect(self, horizon: int, difficulty: Difficulty = ...) -> Batch:
        """Takes `horizon` actions in every simulation."""
        ...

    def close(self) -> None:
        """Frees its resources."""
        ...


class AsyncCollector:
    """Runs a collector one batch in advance."""

    def __init__(
        self, agent: Agent, make: Callable[[Agent], AnyCollector], threads: int | None = None
    ) -> None:
        """Makes the collector; collects nothing yet.

        Args:
            agent: the agent that learns, on any device; its acting copy is on the CPU.
            make: makes the collector for the acting copy of the agent.
            threads: torch threads of the learner while a batch is collected; None changes nothing.
        """
        self._agent, self._acting = agent, copy.deepcopy(agent).cpu()
        self.collector = make(self._acting)
        self._threads, self._before = threads, torch.get_num_threads()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="collector")
        self._next: Future[Batch] | None = None

    def collect(
        self, horizon: int, difficulty: Difficulty = FULL_DIFFICULTY, *, more: bool = True
    ) -> Batch:
        """Returns the batch collected in the meantime, and starts the next one.

        Args:
            horizon: actions per simulation.
            difficulty: limits of new goals and episodes, for the next batch.
            more: whether to start the next batch.
        """
        pending, self._next = self._next or self._begin(horizon, difficulty), None
        batch = pending.result()
        self._acting.load_state_dict(self._agent.state_dict())
        self._next = self._begin(horizon, difficulty) if more else None
        if self._threads is not None:
            torch.set_num_threads(self._threads)
        return batch

    def stop(self) -> AnyCollector:
        """Waits for the pending batch, discards it and returns the collector, which stays usable.

        An exception raised while that batch was collected is raised here.
        """
        pending, self._next = self._next, None
        cancelled = pending is None or pending.cancel()
        self._pool.shutdown()
        if self._threads is not None:
            torch.set_num_threads(self._before)
        if pending is not None and not cancelled:
            pending.result()
        return self.collector

    def close(self) -> None:
        """Stops and frees the collector; an exception of the discarded batch is only logged."""
        try:
            self.stop()
        except Exception as error:
            _log.warning("collecting the last, unused batch failed: %s", error)
        self.collector.close()

    def _begin(self, horizon: int, difficulty: Difficulty) -> Future[Batch]:
        return self._pool.submit(self.collector.collect, horizon, difficulty)
