"""One action of B hands: last good pose, observation, policy, joint targets, or holding still.

The batched evaluation and the loop of a single robot share this; it needs numpy and onnxruntime.
"""

import numpy as np
from numpy.typing import NDArray

from opendactyl.control.bundle.load import Bundle, PolicyMemory
from opendactyl.geometry.rotation import Array
from opendactyl.policy.interface.observations import Measurement, build_observation
from opendactyl.sim.hands.names import ACTUATORS, JOINTS
from opendactyl.vision.estimator import Pose

PATIENCE = 0.4
"""How long the last good pose serves, in seconds; then the hand is held still."""
_ACTUATED = [JOINTS.index(name) for name in ACTUATORS]
_NEVER = np.iinfo(np.int64).max // 2


class Controller:
    """Decides the joint targets of B hands."""

    def __init__(self, bundle: Bundle, batch: int = 1, patience: float = PATIENCE) -> None:
        """Loads nothing and moves nothing until `start`.

        Args:
            bundle: whose policy decides.
            batch: number of hands B.
            patience: how long the last good pose serves, in seconds.
        """
        self._bundle = bundle
        self._decoder = bundle.decoder()
        self._patience = round(patience / bundle.period)
        self._memory = bundle.policy.initial_memory(batch)
        self.position: Array = np.zeros((batch, 3))
        """The last good positions (B, 3)."""
        self.quaternion: Array = np.tile([1.0, 0.0, 0.0, 0.0], (batch, 1))
        """The last good orientations (B, 4)."""
        self.age = np.full(batch, _NEVER)
        """Actions since these were seen (B,); 0 is fresh."""
        self.invalid_action = np.zeros(batch, dtype=bool)
        """Where the policy's last output was not finite (B,)."""

    @property
    def targets(self) -> Array:
        """The present joint targets (B, 20) in radians, always within the limits."""
        return self._decoder.targets

    @property
    def holding(self) -> NDArray[np.bool_]:
        """Which hands are held still (B,), for want of a pose or of a sane policy."""
        return (self.age > self._patience) | self.invalid_action

    def start(self, joints: Array, where: NDArray[np.bool_] | None = None) -> None:
        """Starts afresh from joint angles (B, 24), where `where` (B,) says so."""
        where = np.ones(len(joints), dtype=bool) if where is None else where
        self._decoder.reset(joints[:, _ACTUATED], where if len(self.targets) else None)
        self.age[where] = _NEVER
        self.invalid_action[where] = False
        self._forget(np.flatnonzero(where))

    def see(self, hand: int, pose: Pose | None) -> None:
        """Notes the object's pose in a hand, or that there was none this time."""
        if pose is None:
            self.age[hand] = min(self.age[hand] + 1, _NEVER)
        else:
            self.position[hand], self.quaternion[hand] = pose.position, pose.quaternion
            self.age[hand] = 0

    def act(self, which: NDArray[np.intp], fingertips: Array, joints: Array, goals: Array) -> Array:
        """Moves the targets of hands `which` (M,) by one action.

        Args:
            which: numbers of the hands.
            fingertips: their fingertips (M, 5, 3) in metres.
            joints: their joint angles (M, 24) in radians.
            goals: their goal orientations (M, 4).

        Returns:
            The targets (M, 20) in radians. Those of held hands have not moved.
        """
        self.invalid_action[which] = False
        rows = np.flatnonzero(self.age[which] <= self._patience)
        if rows.size:
            self._move(which[rows], fingertips[rows], joints[rows], goals[rows])
        return self.targets[which]

    def restore(self, targets: Array) -> None:
        """Takes targets (B, 20) back that a hand did not receive."""
        self._decoder.targets = targets

    def _move(
        self, hands: NDArray[np.intp], fingertips: Array, joints: Array, goals: Array
    ) -> None:
        seen = Measurement(fingertips, self.position[hands], self.quaternion[hands], joints)
        observation = build_observation(
            self._bundle.layout, seen, goals, self._decoder.scaled_targets[hands]
        )
        memory = PolicyMemory(self._memory.h[hands], self._memory.c[hands])
        bins, after, sane = self._bundle.policy.act(observation, memory)
        self._memory.h[hands], self._memory.c[hands] = after.h, after.c
        self._forget(hands[~sane])
        self.invalid_action[hands] = ~sane
        everyone = np.zeros((len(self.age), len(ACTUATORS)))
        angles = np.zeros((len(self.age), len(ACTUATORS)))
        everyone[hands], angles[hands] = bins, joints[:, _ACTUATED]
        before = self.targets
        moved = self._decoder.decode(everyone, angles)
        acting = np.zeros((len(self.age), 1), dtype=bool)
        acting[hands[sane]] = True
        self._decoder.targets = np.where(acting, moved, before)

    def _forget(self, hands: NDArray[np.intp]) -> None:
        self._memory.h[hands] = 0.0
        self._memory.c[hands] = 0.0
