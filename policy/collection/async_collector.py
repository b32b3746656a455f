"""Collects the next batch while the last is learned from, so that no core waits for the other.

What acts is a copy of the agent that is one update behind; `PPO` makes up for it.
"""

import copy
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import torch
from tensordict import TensorDict

from opendactyl.policy.collection.agent import Agent
from opendactyl.policy.collection.collector import Episodes

Batch = tuple[TensorDict, Episodes]


class AnyCollector(Protocol):
    """`rollout.Collector`, or the one of a cluster."""

    def collect(self, horizon: int, max_angle: float = ...) -> Batch:
        """Takes `horizon` actions in every simulation."""
        ...

    def close(self) -> None:
        """Frees what it holds."""
        ...


class AsyncCollector:
    """A collector that is always one batch ahead."""

    def __init__(
        self, agent: Agent, make: Callable[[Agent], AnyCollector], threads: int | None = None
    ) -> None:
        """Collects nothing yet.

        Args:
            agent: who learns.
            make: makes the collector for the copy that acts.
            threads: what torch may use in the thread that learns; None changes nothing.
        """
        self._agent, self._acting = agent, copy.deepcopy(agent)
        self.collector = make(self._acting)
        self._threads, self._before = threads, torch.get_num_threads()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="collector")
        self._next: Future[Batch] | None = None

    def collect(self, horizon: int, max_angle: float = torch.pi, *, more: bool = True) -> Batch:
        """The batch that was collected meanwhile; the next is begun.

        Args:
            horizon: actions per simulation.
            max_angle: the curriculum's largest angle to a new goal, for the next batch.
            more: whether there is to be a next one.
        """
        batch = (self._next or self._begin(horizon, max_angle)).result()
        self._acting.load_state_dict(self._agent.state_dict())
        self._next = self._begin(horizon, max_angle) if more else None
        if self._threads is not None:
            torch.set_num_threads(self._threads)
        return batch

    def stop(self) -> AnyCollector:
        """Lets go of the batch that is under way; the collector itself lives on."""
        if self._next is not None and not self._next.cancel():
            self._next.exception()
        self._pool.shutdown()
        if self._threads is not None:
            torch.set_num_threads(self._before)
        return self.collector

    def _begin(self, horizon: int, max_angle: float) -> Future[Batch]:
        return self._pool.submit(self.collector.collect, horizon, max_angle)
