"""Collects experience on a Ray cluster: actors that come and go, each with simulations of its own.

An actor holds a `Collector` and acts as the agent it is sent. One that dies, with its node or
alone, is dropped and a new one started; the batch at hand is smaller by its simulations, and the
new one joins as soon as the cluster has a CPU for it.
"""

import logging
import socket
from typing import Any

import numpy as np
import torch
from tensordict import TensorDict

from opendactyl.core.errors import InputError
from opendactyl.policy.collection.agent import Agent
from opendactyl.policy.collection.collector import Collector, Episodes
from opendactyl.policy.env.env import HandEnv
from opendactyl.policy.env.episode_types import EnvConfig

PATIENCE = 300.0
"""Seconds to wait for the first actor when there is none."""
START_SECONDS = 60.0
"""Seconds after the first actor to wait for the others at the beginning; later ones join then."""
KNOCK_SECONDS = 10.0
"""Seconds an address has to answer within."""
MAX_FAILURES = 20
"""Actors that may die in a row, without one bringing anything, before the run gives up."""

_log = logging.getLogger(__name__)


class Worker:
    """What an actor runs: one core's simulations."""

    def __init__(self, config: EnvConfig, num_envs: int, seed: int) -> None:
        """Loads the scene."""
        torch.set_num_threads(1)
        self._seed = seed
        self._env = HandEnv(config, num_envs, seed=seed, threads=1)
        self._collector: Collector | None = None
        self._turn = -1

    def ready(self) -> bool:
        """Answers when the simulations stand."""
        return True

    def collect(
        self, agent: Agent, turn: int, horizon: int, max_angle: float
    ) -> tuple[TensorDict, Episodes]:
        """Collects with an agent; the first of a new `turn` starts fresh episodes."""
        if self._collector is None or turn != self._turn:
            self._turn, self._env.max_angle = turn, max_angle
            self._collector = Collector(self._env, agent, self._seed + turn)
        self._collector.agent = agent
        return self._collector.collect(horizon, max_angle)


def connect(address: str) -> Any:
    """Ray, connected to the cluster at an address.

    Raises:
        InputError: Ray is not installed, or there is no cluster.
    """
    try:
        import ray
        from ray.exceptions import RayError
    except ImportError as error:
        raise InputError("--ray needs Ray: pip install 'opendactyl[cluster]'") from error
    if not ray.is_initialized():
        try:
            _knock(address)
            ray.init(address=address, log_to_driver=False)
        except (OSError, RuntimeError, ValueError, RayError) as error:
            raise InputError(
                f"no Ray cluster at {address!r} ({error}); start one with `ray start --head`, "
                "or leave --ray out"
            ) from error
    return ray


def _knock(address: str) -> None:
    """Raises an `OSError` unless something listens at HOST:PORT; Ray itself tries for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=KNOCK_SECONDS).close()


class RayCollector:
    """As `rollout.Collector`, with the simulations on a cluster."""

    def __init__(
        self,
        address: str,
        environment: EnvConfig,
        agent: Agent,
        *,
        num_envs: int,
        workers: int = 0,
        seed: int = 0,
    ) -> None:
        """Starts the actors.

        Args:
            address: the cluster's: auto, or HOST:PORT.
            environment: the environment's settings.
            agent: the agent that acts.
            num_envs: simulations, shared among the actors.
            workers: number of actors; 0 takes every CPU of the cluster but one.
            seed: seeds, with the number of an actor, everything that it samples.
        """
        self._ray = connect(address)
        self._environment = environment
        self._agent, self._turn = agent, 0
        self._seed, self._started, self._failures = seed, 0, 0
        cpus = int(self._ray.cluster_resources().get("CPU", 1))
        count = min(workers or max(cpus - 1, 1), num_envs)
        self._sizes = [len(part) for part in np.array_split(np.arange(num_envs), count)]
        self._make = self._ray.remote(num_cpus=1, max_restarts=0)(Worker)
        self._actors: list[Any] = [None] * count
        self._waiting: dict[Any, tuple[int, Any]] = {}
        for place in range(count):
            self._start(place)
        for wanted, seconds in ((1, PATIENCE), (count, START_SECONDS)):
            self._ray.wait(list(self._waiting), num_returns=wanted, timeout=seconds)

    def use(self, agent: Agent) -> None:
        """Another agent acts from now on, in fresh episodes."""
        self._agent = agent
        self._turn += 1

    def collect(self, horizon: int, max_angle: float = np.pi) -> tuple[TensorDict, Episodes]:
        """Takes `horizon` actions in every simulation that is there.

        Returns:
            As `rollout.Collector.collect`; fewer sequences while actors are missing.

        Raises:
            InputError: the cluster has no room for even one actor, or none of them lives.
        """
        agent = self._ray.put(self._agent)
        parts: dict[int, tuple[TensorDict, Episodes]] = {}
        while not parts:
            self._admit()
            pending = {
                actor.collect.remote(agent, self._turn, horizon, max_angle): place
                for place, actor in enumerate(self._actors)
                if actor is not None
            }
            while pending:
                (done,), _ = self._ray.wait(list(pending), num_returns=1)
                place = pending.pop(done)
                part = self._value(done, place, self._actors[place])
                if part is not None:
                    parts[place] = part
        self._failures = 0
        episodes = Episodes()
        for place in sorted(parts):
            episodes.merge(parts[place][1])
        joined = torch.cat([parts[place][0] for place in sorted(parts)])
        assert isinstance(joined, TensorDict)
        return joined, episodes

    @property
    def live(self) -> int:
        """How many actors take part."""
        return sum(actor is not None for actor in self._actors)

    def _start(self, place: int) -> None:
        """Asks for a new actor, which waits until the cluster has a CPU for it."""
        sequence = np.random.SeedSequence([self._seed, self._started])
        self._started += 1
        seed = int(sequence.generate_state(1)[0])
        actor = self._make.remote(self._environment, self._sizes[place], seed)
        self._waiting[actor.ready.remote()] = (place, actor)

    def _admit(self) -> None:
        """Lets actors that have started take part; waits only where there is none at all."""
        if not self._waiting:
            return
        ray = self._ray
        if not self.live:
            ray.wait(list(self._waiting), num_returns=1, timeout=PATIENCE)
        ready, _ = ray.wait(list(self._waiting), num_returns=len(self._waiting), timeout=0)
        for reference in ready:
            place, actor = self._waiting.pop(reference)
            if self._value(reference, place, actor) is not None:
                self._actors[place] = actor
        if not (self.live or ready):
            raise InputError(
                f"the Ray cluster started no actor within {PATIENCE:.0f} s; is a CPU free?"
            )

    def _value(self, reference: Any, place: int, actor: Any) -> Any:
        """What an actor answered, or None where it died; then another one is started."""
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayTaskError:
            raise
        except self._ray.exceptions.RayError as error:
            self._failures += 1
            if self._failures > MAX_FAILURES:
                raise InputError(f"Ray actors keep dying: {error}") from error
            _log.warning("a Ray actor was lost and is replaced: %s", str(error).splitlines()[0])
            self._actors[place] = None
            self._ray.kill(actor)
            self._start(place)
            return None

    def close(self) -> None:
        """Ends the actors."""
        for actor in [*self._actors, *(actor for _, actor in self._waiting.values())]:
            if actor is not None:
                self._ray.kill(actor)
        self._actors, self._waiting = [], {}
