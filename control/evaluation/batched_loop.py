"""The closed loop in simulation, many episodes at once: for evaluation, videos and rollouts."""

from collections.abc import Sequence
from typing import NoReturn

import numpy as np

from opendactyl.control.bundle.load import Bundle
from opendactyl.control.evaluation.sim_adapters import TargetDecoder
from opendactyl.control.runtime.controller import Controller
from opendactyl.control.runtime.interfaces import Fault, HandReading, PoseSource
from opendactyl.core.errors import EnvironmentFailure, OpenDactylError
from opendactyl.policy.env.env import HandEnv
from opendactyl.policy.env.episode_types import Step
from opendactyl.vision.estimator import Pose

_PROGRAMMING_ERRORS = (AttributeError, LookupError, NameError, TypeError, ValueError)
"""Exceptions of a renderer that are faults of OpenDactyl, not of the graphics driver."""


class BatchedLoop:
    """Runs a bundle in a batched environment, one action at a time, as fast as possible."""

    def __init__(
        self, bundle: Bundle, env: HandEnv, sources: Sequence[PoseSource], delay: int = 0
    ) -> None:
        """Resets the environment.

        Args:
            bundle: the bundle.
            env: B simulations.
            sources: one pose source per simulation.
            delay: actions after which targets act.
        """
        self.bundle = bundle
        self.env = env
        self.sources = sources
        self.controller = Controller(bundle, env.num_envs)
        self._decoder = TargetDecoder.install(env, delay)
        env.reset()
        self.controller.start(env.true_measurement().joints)
        self.error_rad = np.zeros(env.num_envs)
        """Orientation error of the policy's pose at the last action (B,)."""
        self.error_m = np.zeros(env.num_envs)
        """The same for the position (B,)."""
        self.faults = np.zeros(env.num_envs, dtype=np.int64)
        """Number of actions without a new pose (B,)."""

    def step(self) -> Step:
        """Takes one action in every running episode.

        Raises:
            EnvironmentFailure: the renderer failed.
        """
        env, controller = self.env, self.controller
        which = np.flatnonzero(env.running)
        measured = env.measured
        for i in which:
            reading = HandReading(measured.joints[i], measured.fingertips[i])
            controller.observe(int(i), self._pose(int(i), reading))
        true_position, true_quaternion = env.object_pose()
        self.error_m = np.linalg.norm(controller.position - true_position, axis=-1)
        self.error_rad = env.scene.symmetry.angle(controller.quaternion, true_quaternion)
        controller.act(
            which,
            measured.fingertips[which],
            measured.joints[which],
            env.goal[which],
            touch=None if measured.touch is None else measured.touch[which],
            forces=None if measured.forces is None else measured.forces[which],
        )
        episodes = env.episode.copy()
        step = self._decoder.step(env, controller.targets)
        restarted = env.episode != episodes
        if restarted.any():
            controller.start(env.true_measurement().joints, restarted)
            for i in np.flatnonzero(restarted):
                self.sources[int(i)].restart()
        return step

    def _pose(self, number: int, reading: HandReading) -> Pose | None:
        try:
            return self.sources[number].pose(reading)
        except Fault as fault:
            if fault.__cause__ is not None:
                # The camera driver is the renderer here: results after its failure are invalid.
                raise_renderer_error(fault.__cause__)
            self.faults[number] += 1
            return None


def raise_renderer_error(error: BaseException) -> NoReturn:
    """Raises a renderer's error, as an `EnvironmentFailure` unless it is a fault of ours."""
    if isinstance(error, (OpenDactylError, *_PROGRAMMING_ERRORS)):
        raise error
    raise EnvironmentFailure(
        f"the renderer failed ({error!r}); check the graphics driver with `opendactyl doctor`"
    ) from error
