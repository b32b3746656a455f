"""Collects experience on a Ray cluster whose actors may die and be replaced.

Each actor runs a `Collector` with the agent it is sent. An actor that dies, alone or with its node,
is replaced. The current batch is smaller by its simulations; the new actor joins when the cluster
has a free CPU.
"""

import logging
import socket
from typing import Any

import numpy as np
import torch
from tensordict import TensorDict

from opendactyl.core.cpu import cores
from opendactyl.core.errors import EnvironmentFailure, InputError, OpenDactylError
from opendactyl.policy.collection.agent import Agent
from opendactyl.policy.collection.collector import Collector, Episodes
from opendactyl.policy.env.env import HandEnv
from opendactyl.policy.env.episode_types import FULL_DIFFICULTY, Difficulty, EnvConfig
from opendactyl.sim.assets.storage import require_identity
from opendactyl.sim.hands.shipped import hand_spec
from opendactyl.sim.objects.shipped import object_spec

LOCAL = "local"
"""Address of a cluster that is started on this machine."""
FIRST_ACTOR_SECONDS = 300.0
"""Time to wait for an actor while none is live."""
ALL_ACTORS_SECONDS = 60.0
"""Time to wait for the other actors after the first one; later ones join when they start."""
CONNECT_SECONDS = 10.0
"""Time limit for a connection to the address."""
MAX_FAILURES = 20
"""Actors that may die in a row, without a batch from any, before the run is aborted."""

_log = logging.getLogger(__name__)


class Worker:
    """The code of an actor: simulations on one core."""

    def __init__(
        self,
        config: EnvConfig,
        num_envs: int,
        seed: int,
        identities: tuple[dict[str, Any] | None, dict[str, Any] | None],
    ) -> None:
        """Loads the scene; `identities` are those of object and hand (`Described.identity`)."""
        torch.set_num_threads(1)
        require_identity(object_spec(config.object), identities[0])
        require_identity(hand_spec(config.hand), identities[1])
        self._seed = seed
        self._env = HandEnv(config, num_envs, seed=seed, threads=1)
        self._collector: Collector | None = None
        self._version = -1

    def ready(self) -> bool:
        """Returns once the simulations are set up."""
        return True

    def collect(
        self, agent: Agent, version: int, horizon: int, difficulty: Difficulty
    ) -> tuple[TensorDict, Episodes]:
        """Collects with an agent; a new `version` starts new episodes."""
        if self._collector is None or version != self._version:
            self._version, self._env.difficulty = version, difficulty
            self._collector = Collector(self._env, agent, self._seed + version)
        self._collector.agent = agent
        return self._collector.collect(horizon, difficulty)


def connect(address: str) -> Any:
    """Connects to a Ray cluster, or starts one on this machine; returns the `ray` module.

    Raises:
        InputError: Ray is not installed, or the address is malformed.
        EnvironmentFailure: the cluster cannot be reached.
    """
    try:
        import ray
        from ray.exceptions import RayError
    except ImportError as error:
        raise InputError("--ray needs Ray: pip install 'opendactyl[cluster]'") from error
    if not ray.is_initialized():
        try:
            if address == LOCAL:
                ray.init("local", num_cpus=cores(), log_to_driver=False, include_dashboard=False)
            else:
                _check_reachable(address)
                ray.init(address=address, log_to_driver=False)
        except ValueError as error:
            raise InputError(f"--ray {address!r} is not an address: {error}") from error
        except (OSError, RuntimeError, RayError) as error:
            raise EnvironmentFailure(
                f"no Ray cluster at {address!r} ({error}); start one with `ray start --head`, "
                "or omit --ray"
            ) from error
    return ray


def _check_reachable(address: str) -> None:
    """Raises an `OSError` unless HOST:PORT accepts connections; Ray itself retries for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()


class RayCollector:
    """`Collector` with its simulations on a cluster."""

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
            address: of the cluster: auto, HOST:PORT, or local for one on this machine.
            environment: the environment's settings.
            agent: the agent that acts.
            num_envs: simulations, divided among the actors.
            workers: number of actors; 0 uses all CPUs of the cluster but one.
            seed: random seed; each actor derives its own from it.
        """
        self._ray = connect(address)
        self._environment = environment
        described = object_spec(environment.object), hand_spec(environment.hand)
        self._identities = described[0].identity, described[1].identity
        self._agent, self._version = agent, 0
        self._seed, self._started, self._failures = seed, 0, 0
        cpus = int(self._ray.cluster_resources().get("CPU", 1))
        count = min(workers or max(cpus - 1, 1), num_envs)
        self._sizes = [len(ids) for ids in np.array_split(np.arange(num_envs), count)]
        self._make = self._ray.remote(num_cpus=1, max_restarts=0)(Worker)
        self._actors: list[Any] = [None] * count
        self._starting: dict[Any, tuple[int, Any]] = {}
        for slot in range(count):
            self._start(slot)
        for wanted, seconds in ((1, FIRST_ACTOR_SECONDS), (count, ALL_ACTORS_SECONDS)):
            self._ray.wait(list(self._starting), num_returns=wanted, timeout=seconds)

    def use(self, agent: Agent) -> None:
        """Replaces the acting agent; new episodes start."""
        self._agent = agent
        self._version += 1

    def collect(
        self, horizon: int, difficulty: Difficulty = FULL_DIFFICULTY
    ) -> tuple[TensorDict, Episodes]:
        """Takes `horizon` actions in every simulation of the live actors.

        Returns:
            As `Collector.collect`; fewer sequences while actors are missing.

        Raises:
            EnvironmentFailure: no actor could be started, or actors keep dying.
        """
        agent = self._ray.put(self._agent)
        results: dict[int, tuple[TensorDict, Episodes]] = {}
        while not results:
            self._admit()
            pending = {
                actor.collect.remote(agent, self._version, horizon, difficulty): slot
                for slot, actor in enumerate(self._actors)
                if actor is not None
            }
            while pending:
                (done,), _ = self._ray.wait(list(pending), num_returns=1)
                slot = pending.pop(done)
                result = self._value(done, slot, self._actors[slot])
                if result is not None:
                    results[slot] = result
        self._failures = 0
        episodes = Episodes()
        for slot in sorted(results):
            episodes.merge(results[slot][1])
        joined = torch.cat([results[slot][0] for slot in sorted(results)])
        assert isinstance(joined, TensorDict)
        return joined, episodes

    @property
    def live(self) -> int:
        """Number of actors that take part."""
        return sum(actor is not None for actor in self._actors)

    def _start(self, slot: int) -> None:
        """Requests a new actor, which starts when the cluster has a free CPU."""
        sequence = np.random.SeedSequence([self._seed, self._started])
        self._started += 1
        seed = int(sequence.generate_state(1)[0])
        actor = self._make.remote(self._environment, self._sizes[slot], seed, self._identities)
        self._starting[actor.ready.remote()] = (slot, actor)

    def _admit(self) -> None:
        """Adds the actors that have started; waits only while none is live."""
        if not self._starting:
            return
        ray = self._ray
        if not self.live:
            ray.wait(list(self._starting), num_returns=1, timeout=FIRST_ACTOR_SECONDS)
        ready, _ = ray.wait(list(self._starting), num_returns=len(self._starting), timeout=0)
        for reference in ready:
            slot, actor = self._starting.pop(reference)
            if self._value(reference, slot, actor) is not None:
                self._actors[slot] = actor
        if not (self.live or ready):
            raise EnvironmentFailure(
                f"the Ray cluster started no actor within {FIRST_ACTOR_SECONDS:.0f} s; check that "
                "it has a free CPU, then continue with --resume"
            )

    def _value(self, reference: Any, slot: int, actor: Any) -> Any:
        """The result of a remote call, or None if the actor died and was replaced."""
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, OpenDactylError):
                raise error.cause from None
            raise
        except self._ray.exceptions.RayError as error:
            self._failures += 1
            if self._failures > MAX_FAILURES:
                raise EnvironmentFailure(
                    f"Ray actors keep dying ({error}); continue with --resume"
                ) from error
            _log.warning("a Ray actor died and is replaced: %s", str(error).splitlines()[0])
            self._actors[slot] = None
            self._ray.kill(actor)
            self._start(slot)
            return None

    def close(self) -> None:
        """Kills the actors."""
        for actor in [*self._actors, *(actor for _, actor in self._starting.values())]:
            if actor is not None:
                self._ray.kill(actor)
        self._actors, self._starting = [], {}
