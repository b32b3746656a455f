"""Goals that follow from one demonstration; needs numpy and onnxruntime only."""

from abc import ABC, abstractmethod

import numpy as np

from opendactyl.control.bundle.imitation_session import ImitationSession
from opendactyl.control.runtime.interfaces import Fault
from opendactyl.geometry.rotation import Array, geodesic_angle, quat_canonical
from opendactyl.policy.interface.keyframes import MAX_WAYPOINTS, keyframes
from opendactyl.vision.estimator import Pose

REACHED = 0.25
"""Largest angle to a goal that counts as reached, in radians: success allows 0.4 to the goal that
was meant. On 200 development episodes 0.25 succeeded in 0.91 and 0.3 in 0.89 of them."""
HOLD = 5
"""Consecutive poses for which a goal is held before the next one."""
COPIES = 16
"""Copies of a demonstration, each with a temporal dropout of its own, that are combined."""
ALIKE = 0.4
"""Largest angle between goals of two copies that mean the same, in radians."""


class HeldGoals(ABC):
    """Goals in order: the next one is due when the object has been held at the last."""

    def __init__(self, reached_angle: float = REACHED) -> None:
        """Starts at the next pose.

        Args:
            reached_angle: largest angle to a goal that counts as reached, in radians.
        """
        self._reached_angle = reached_angle
        self.restart()

    def restart(self) -> None:
        """Starts again at the next pose."""
        self.waypoints: list[Array] = []
        """Orientations (4,) at which goals were reached, the start first."""
        self.done = False
        """Whether nothing is left to do; the last goal then stays."""
        self._goal: Array = np.array([1.0, 0.0, 0.0, 0.0])
        self._near = 0

    @property
    def reached(self) -> int:
        """Number of goals reached."""
        return max(len(self.waypoints) - 1, 0)

    def goal(self, pose: Pose) -> Array:
        """Returns the goal (4,) for an object at `pose`."""
        if not self.waypoints:
            self._advance(pose.quaternion)
        elif not self.done:
            near = geodesic_angle(pose.quaternion, self._goal) < self._reached_angle
            self._near = self._near + 1 if near else 0
            if self._is_over():
                self._advance(pose.quaternion)
        return self._goal

    def _is_over(self) -> bool:
        """Whether the next goal is due."""
        return self._near >= HOLD

    def _advance(self, quaternion: Array) -> None:
        # A source that fails is asked again for the same waypoint.
        waypoints = [*self.waypoints, quaternion.copy()]
        following = self._next(np.array(waypoints))
        self.waypoints, self._near = waypoints, 0
        if following is None:
            self.done = True
        else:
            self._goal = following

    @abstractmethod
    def _next(self, waypoints: Array) -> Array | None:
        """The goal (4,) after waypoints (K, 4), of which the last is the present orientation."""


class ImitatedGoals(HeldGoals):
    """Goals that an imitation network infers from one demonstration."""

    def __init__(
        self,
        network: ImitationSession,
        demonstration: Array,
        *,
        copies: int = COPIES,
        seed: int = 0,
    ) -> None:
        """Reads the demonstration.

        Args:
            network: the network.
            demonstration: orientations (T, 4), one every `keyframes.FRAME_PERIOD`.
            copies: copies of the demonstration with different temporal dropout.
            seed: seed of the dropout.
        """
        super().__init__()
        self._network = network
        rng = np.random.default_rng(seed)
        self._keyframes = np.stack([keyframes(demonstration, rng) for _ in range(copies)])

    def _next(self, waypoints: Array) -> Array | None:
        if len(waypoints) > MAX_WAYPOINTS:
            return None
        goals, done = self._network.next(self._keyframes, waypoints[-1], waypoints)
        if not (np.isfinite(goals).all() and np.isfinite(done).all()):
            raise Fault("goal", "the output of the imitation network is not finite")
        if done.mean() > 0.5:
            return None
        # The mean of goals near the one with the smallest sum of angles to all: a mean of goals
        # that differ would be none of them.
        undecided = goals[done <= 0.5]
        angles = geodesic_angle(undecided[:, None], undecided[None])
        central = angles.sum(axis=1).argmin()
        near = undecided[angles[central] < ALIKE]
        mean = np.sign(near @ undecided[central]) @ near
        return quat_canonical(mean / np.linalg.norm(mean))
