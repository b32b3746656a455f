"""The closed loop: pose, observation, policy, joint targets, hand."""

import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from opendactyl.control.bundle import Bundle, PolicyMemory
from opendactyl.control.poses import PoseSource
from opendactyl.geometry.rotation import Array, geodesic_angle
from opendactyl.policy.env import HandEnv, Step
from opendactyl.policy.interface import Measurement, build_observation


@dataclass
class Timings:
    """Seconds each action took, by part."""

    pose: list[float] = field(default_factory=list)
    policy: list[float] = field(default_factory=list)


class Loop:
    """Runs a bundle in an environment; batched, one action at a time."""

    def __init__(self, bundle: Bundle, env: HandEnv, source: PoseSource) -> None:
        """Starts the environment's episodes."""
        self.bundle = bundle
        self.env = env
        self.source = source
        self.timings = Timings()
        env.decoder = bundle.decoder()
        env.reset()
        self._memory = bundle.policy.initial_memory(env.num_envs)
        self.pose: tuple[Array, Array] = env.object_pose()
        """What the policy took for the objects' poses at the last action: (B, 3) and (B, 4)."""
        self.error_rad = np.zeros(env.num_envs)
        """How far that was off at the last action (B,)."""
        self.error_m = np.zeros(env.num_envs)

    def step(self) -> Step:
        """Takes one action in every running episode."""
        which = np.flatnonzero(self.env.running)
        began = time.perf_counter()
        self._look(which)
        seen = time.perf_counter()
        bins = np.full((self.env.num_envs, self.env.decoder.low.size), 5)
        bins[which] = self._act(which)
        self.timings.pose.append(seen - began)
        self.timings.policy.append(time.perf_counter() - seen)
        return self.env.step(bins)

    def _look(self, which: NDArray[np.intp]) -> None:
        position, quaternion = self.source.poses(self.env, which)
        self.pose[0][which], self.pose[1][which] = position, quaternion
        true_position, true_quaternion = self.env.object_pose()
        self.error_m[which] = np.linalg.norm(position - true_position[which], axis=-1)
        self.error_rad[which] = geodesic_angle(quaternion, true_quaternion[which])

    def _act(self, which: NDArray[np.intp]) -> NDArray[np.int64]:
        true = self.env.measurement()
        seen = Measurement(
            true.fingertips[which], self.pose[0][which], self.pose[1][which], true.joints[which]
        )
        observation = build_observation(
            self.bundle.layout,
            seen,
            self.env.goal[which],
            self.env.decoder.scaled_targets[which],
        )
        memory = PolicyMemory(self._memory.h[which], self._memory.c[which])
        bins, after = self.bundle.policy.act(observation, memory)
        self._memory.h[which], self._memory.c[which] = after.h, after.c
        return bins
