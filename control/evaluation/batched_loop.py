"""The closed loop in simulation, many episodes at once: for evaluation, films and roll-outs."""

from collections.abc import Sequence

import numpy as np

from opendactyl.control.bundle.load import Bundle
from opendactyl.control.evaluation.sim_adapters import Commanded
from opendactyl.control.runtime.controller import Controller
from opendactyl.control.runtime.interfaces import Fault, HandReading, PoseSource
from opendactyl.geometry.rotation import geodesic_angle
from opendactyl.policy.env.env import HandEnv
from opendactyl.policy.env.episode_types import Step
from opendactyl.vision.estimator import Pose


class Loop:
    """Runs a bundle in an environment; batched, one action at a time, never waiting."""

    def __init__(self, bundle: Bundle, env: HandEnv, sources: Sequence[PoseSource]) -> None:
        """Starts the environment's episodes; there is one pose source for each."""
        self.bundle = bundle
        self.env = env
        self.sources = sources
        self.controller = Controller(bundle, env.num_envs)
        self._commanded = Commanded.into(env)
        env.reset()
        self.controller.start(env.measurement().joints)
        self.error_rad = np.zeros(env.num_envs)
        """How far the policy's idea of the orientation was off at the last action (B,)."""
        self.error_m = np.zeros(env.num_envs)
        """The same for the position (B,)."""
        self.faults = np.zeros(env.num_envs, dtype=np.int64)
        """Actions that had no fresh pose (B,)."""

    def step(self) -> Step:
        """Takes one action in every running episode."""
        env, controller = self.env, self.controller
        which = np.flatnonzero(env.running)
        seen = env.seen
        for i in which:
            controller.see(
                int(i), self._look(int(i), HandReading(seen.joints[i], seen.fingertips[i]))
            )
        true_position, true_quaternion = env.object_pose()
        self.error_m = np.linalg.norm(controller.position - true_position, axis=-1)
        self.error_rad = geodesic_angle(controller.quaternion, true_quaternion)
        controller.act(which, seen.fingertips[which], seen.joints[which], env.goal[which])
        episodes = env.episode.copy()
        step = self._commanded.step(env, controller.targets)
        restarted = env.episode != episodes
        if restarted.any():
            controller.start(env.measurement().joints, restarted)
            for i in np.flatnonzero(restarted):
                self.sources[int(i)].restart()
        return step

    def _look(self, number: int, reading: HandReading) -> Pose | None:
        try:
            return self.sources[number].pose(reading)
        except Fault as fault:
            if fault.__cause__ is not None:
                # No camera's driver, but a renderer that broke: what follows would be no result.
                raise fault.__cause__ from None
            self.faults[number] += 1
            return None
