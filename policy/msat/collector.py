"""DAgger (arXiv 1011.0686): the driver acts, more and more; the teacher labels what it meets."""

import dataclasses
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from opendactyl.geometry.rotation import Array
from opendactyl.policy.collection.collector import Episodes
from opendactyl.policy.env.env import HandEnv
from opendactyl.policy.interface.observations import build_observation
from opendactyl.policy.msat.driver import ChunkDriver, to_unit
from opendactyl.policy.msat.replay import Replay
from opendactyl.policy.msat.teacher import Teacher


class PoseObserver(Protocol):
    """Estimates poses in all simulations from rendered images."""

    def observe(self, env: HandEnv) -> tuple[Array, Array, NDArray[np.float32]]:
        """Positions (B, 3), quaternions (B, 4) and tokens (B, V, T), NaN without an estimate."""
        ...

    def close(self) -> None:
        """Closes the renderer."""
        ...


class MakeObserver(Protocol):
    """Opens a renderer and an estimator for the simulations of an environment."""

    @property
    def tokens(self) -> tuple[int, int]:
        """Shape (V, T) of the estimator's tokens."""
        ...

    def __call__(self, env: HandEnv) -> PoseObserver:
        """Observes the simulations of `env`."""
        ...


class DaggerCollector:
    """Steps an environment and fills a replay buffer."""

    def __init__(
        self,
        env: HandEnv,
        teacher: Teacher,
        driver: ChunkDriver,
        replay: Replay,
        rng: np.random.Generator,
        observer: PoseObserver | None = None,
    ) -> None:
        """Starts new episodes.

        Args:
            env: B simulations.
            teacher: the policy that is imitated, which observes the true pose.
            driver: the policy that is trained.
            replay: where the steps are kept.
            rng: draws who acts.
            observer: estimates the pose that the driver observes; None: it observes the true pose.
        """
        self.env, self.teacher, self.driver, self.replay = env, teacher, driver, replay
        self._rng, self._observer = rng, observer
        self._observation, _ = env.reset()
        teacher.policy.begin(env.num_envs)
        driver.begin(env.num_envs)
        self._start = np.ones(env.num_envs, dtype=bool)

    def collect(self, horizon: int, teacher_acts: float) -> Episodes:
        """Takes `horizon` actions in each simulation.

        Args:
            horizon: actions per simulation.
            teacher_acts: fraction of the simulations in which the teacher acts.

        Returns:
            The episodes that ended.
        """
        idle = self._rng.random(self.env.num_envs) < teacher_acts
        episodes = Episodes()
        for _ in range(horizon):
            self._step(idle, episodes)
        return episodes

    def _step(self, idle: NDArray[np.bool_], episodes: Episodes) -> None:
        env, start = self.env, self._start
        observation, tokens = self._observed()
        label = self.teacher.policy.act(self._observation[:, : self.teacher.size], start)
        bins = self.driver.act(observation, start, tokens, idle)
        self.replay.add(observation, to_unit(label), env.episode, env.goals, tokens)
        result = env.step(np.where(idle[:, None], label, bins))
        episodes.add(result.goals, result.outcome)
        self._observation = result.policy
        self._start = result.terminated | result.truncated

    def _observed(self) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """What the driver observes: observations (B, n), and tokens (B, V, T) from images."""
        if self._observer is None:
            return self._observation, None
        env = self.env
        position, quaternion, tokens = self._observer.observe(env)
        measured = dataclasses.replace(
            env.measured, object_position=position, object_quaternion=quaternion
        )
        targets = env.decoder.scaled_targets
        return build_observation(env.layout, measured, env.goal, targets), tokens
