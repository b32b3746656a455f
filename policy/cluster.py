"""Collects experience on a Ray cluster: actors that come and go, each with simulations of its own.

An actor holds a `Collector` and acts with the weights it is sent. One that dies, with its node or
alone, is dropped and a new one started; the batch at hand is smaller by its simulations, and the
new one joins as soon as the cluster has a CPU for it.
"""

import logging
from typing import Any

import numpy as np
import torch
from tensordict import TensorDict
from torch import Tensor

from opendactyl.files.errors import InputError
from opendactyl.policy.agent import Agent
from opendactyl.policy.config import PolicyConfig
from opendactyl.policy.env import EnvConfig, HandEnv
from opendactyl.policy.rollout import Collector, Episodes

START_SECONDS = 60.0
"""Seconds to wait for all actors at the beginning; later ones join as they come."""
PATIENCE = 120.0
"""Seconds to wait for the first actor when none is left."""
MAX_FAILURES = 20
"""Actors that may die in a row, without one bringing anything, before the run gives up."""

_log = logging.getLogger(__name__)


class Worker:
    """What an actor runs: one core's simulations."""

    def __init__(
        self, config: EnvConfig, agent: Agent, num_envs: int, seed: int, max_angle: float
    ) -> None:
        """Starts fresh episodes."""
        torch.set_num_threads(1)
        env = HandEnv(config, num_envs, seed=seed, threads=1)
        env.max_angle = max_angle
        self._collector = Collector(env, agent, seed)

    def ready(self) -> bool:
        """Answers when the simulations stand."""
        return True

    def collect(
        self, weights: dict[str, Tensor], horizon: int, max_angle: float
    ) -> tuple[TensorDict, Episodes]:
        """Collects with these weights."""
        self._collector.agent.load_state_dict(weights)
        return self._collector.collect(horizon, max_angle)


def connect(address: str) -> Any:
    """Ray, connected to the cluster at an address.

    Raises:
        InputError: Ray is not installed, or there is no cluster.
    """
    try:
        import ray
    except ImportError as error:
        raise InputError("--ray needs Ray: pip install 'opendactyl[cluster]'") from error
    if not ray.is_initialized():
        try:
            ray.init(address=address, log_to_driver=False)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise InputError(
                f"no Ray cluster at {address!r} ({error}); start one with `ray start --head`, "
                "or leave --ray out"
            ) from error
    return ray


class RayCollector:
    """As `rollout.Collector`, with the simulations on a cluster."""

    def __init__(
        self, config: PolicyConfig, agent: Agent, seed: int, max_angle: float = np.pi
    ) -> None:
        """Starts the actors.

        Args:
            config: the run's settings.
            agent: whose weights act.
            seed: seed of everything random.
            max_angle: the curriculum's largest angle at the beginning.
        """
        self._ray = connect(config.ray)
        self._config = config
        self._agent = agent
        self._seed, self._started, self._failures = seed, 0, 0
        cpus = int(self._ray.cluster_resources().get("CPU", 1))
        count = min(config.ray_workers or max(cpus - 1, 1), config.num_envs)
        self._sizes = [len(part) for part in np.array_split(np.arange(config.num_envs), count)]
        self._make = self._ray.remote(num_cpus=1, max_restarts=0)(Worker)
        self._sent_agent = self._ray.put(agent)
        self._actors: list[Any] = [None] * count
        self._waiting: dict[Any, tuple[int, Any]] = {}
        for place in range(count):
            self._start(place, max_angle)
        self._ray.wait(list(self._waiting), num_returns=count, timeout=START_SECONDS)

    def collect(self, horizon: int, max_angle: float = np.pi) -> tuple[TensorDict, Episodes]:
        """Takes `horizon` actions in every simulation that is there.

        Returns:
            As `rollout.Collector.collect`; fewer sequences while actors are missing.

        Raises:
            InputError: the cluster has no room for even one actor, or none of them lives.
        """
        weights = {key: value.detach() for key, value in self._agent.state_dict().items()}
        sent = self._ray.put(weights)
        parts: dict[int, tuple[TensorDict, Episodes]] = {}
        while not parts:
            self._admit(max_angle)
            pending = {
                actor.collect.remote(sent, horizon, max_angle): place
                for place, actor in enumerate(self._actors)
                if actor is not None
            }
            while pending:
                (done,), _ = self._ray.wait(list(pending), num_returns=1)
                place = pending.pop(done)
                part = self._value(done, place, self._actors[place], max_angle)
                if part is not None:
                    parts[place] = part
        self._failures = 0
        episodes = Episodes()
        for place in sorted(parts):
            episodes.merge(parts[place][1])
        return torch.cat([parts[place][0] for place in sorted(parts)]), episodes

    @property
    def live(self) -> int:
        """How many actors take part."""
        return sum(actor is not None for actor in self._actors)

    def _start(self, place: int, max_angle: float) -> None:
        """Asks for a new actor, which waits until the cluster has a CPU for it."""
        sequence = np.random.SeedSequence([self._seed, self._started])
        self._started += 1
        actor = self._make.remote(
            self._config.environment(), self._sent_agent, self._sizes[place],
            int(sequence.generate_state(1)[0]), max_angle,
        )  # fmt: skip
        self._waiting[actor.ready.remote()] = (place, actor)

    def _admit(self, max_angle: float) -> None:
        """Lets actors that have started take part; waits only where there is none at all."""
        ray, patience = self._ray, 0.0 if self.live else PATIENCE
        if self._waiting:
            ray.wait(list(self._waiting), num_returns=1, timeout=patience)
        ready, _ = ray.wait(list(self._waiting), num_returns=len(self._waiting), timeout=0)
        for reference in ready:
            place, actor = self._waiting.pop(reference)
            if self._value(reference, place, actor, max_angle) is not None:
                self._actors[place] = actor
        if not (self.live or ready):
            raise InputError(
                f"the Ray cluster started no actor within {PATIENCE:.0f} s; is a CPU free?"
            )

    def _value(self, reference: Any, place: int, actor: Any, max_angle: float) -> Any:
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
            self._start(place, max_angle)
            return None

    def close(self) -> None:
        """Ends the actors."""
        for actor in [*self._actors, *(actor for actor, _ in self._waiting.values())]:
            if actor is not None:
                self._ray.kill(actor)
        self._actors, self._waiting = [], {}
