"""Controller of B hands: last valid pose, observation, policy, joint targets.

Used by the batched evaluation and by the loop of one robot. Needs the base install only.
"""

import numpy as np
from numpy.typing import NDArray

from opendactyl.control.bundle.load import Bundle
from opendactyl.control.bundle.policy_session import PolicyMemory
from opendactyl.geometry.rotation import Array
from opendactyl.policy.interface.observations import Measurement, build_observation
from opendactyl.vision.estimator import Pose

PATIENCE = 0.4
"""Seconds for which the last valid pose is used; after that the hand is held still."""
_NEVER = np.iinfo(np.int64).max // 2


class Controller:
    """Computes the joint targets of B hands."""

    def __init__(self, bundle: Bundle, batch: int = 1, patience: float = PATIENCE) -> None:
        """Allocates the state; call `start` before the first action.

        Args:
            bundle: provides the policy.
            batch: number of hands B.
            patience: seconds for which the last valid pose is used.
        """
        self._bundle = bundle
        self._decoder = bundle.decoder()
        self._symmetry = bundle.symmetry
        self._patience = round(patience / bundle.period)
        # Of the targets in an action, in radians.
        speed = np.array(bundle.manifest.get("max_joint_speed", np.inf), dtype=np.float64)
        self._largest_step = speed * bundle.period
        self._memory = bundle.policy.initial_memory(batch)
        self.position: Array = np.zeros((batch, 3))
        """Last valid positions (B, 3) in metres."""
        self.quaternion: Array = np.tile([1.0, 0.0, 0.0, 0.0], (batch, 1))
        """Last valid orientations (B, 4)."""
        self.age = np.full(batch, _NEVER)
        """Actions since these were measured (B,); 0 in the same action."""
        self.invalid_action = np.zeros(batch, dtype=bool)
        """True where the policy's last output was not finite (B,)."""

    @property
    def targets(self) -> Array:
        """The current joint targets (B, A) in radians, always within the limits."""
        return self._decoder.targets

    @property
    def holding(self) -> NDArray[np.bool_]:
        """True where a hand is held still (B,), without a recent pose or a valid action."""
        return (self.age > self._patience) | self.invalid_action

    def start(self, joints: Array, where: NDArray[np.bool_] | None = None) -> None:
        """Resets the hands selected by `where` (B,), default all, at joint angles (B, J)."""
        where = np.ones(len(joints), dtype=bool) if where is None else where
        self._decoder.reset(
            self._bundle.hand.actuated(joints), where if len(self.targets) else None
        )
        self.age[where] = _NEVER
        self.invalid_action[where] = False
        self._clear_memory(np.flatnonzero(where))

    def observe(self, hand: int, pose: Pose | None) -> None:
        """Stores the object's pose in one hand, or that none was available in this action."""
        if pose is None:
            self.age[hand] = min(self.age[hand] + 1, _NEVER)
        else:
            self.position[hand], self.quaternion[hand] = pose.position, pose.quaternion
            self.age[hand] = 0

    def act(self, which: NDArray[np.intp], fingertips: Array, joints: Array, goals: Array) -> Array:
        """Advances the targets of hands `which` (M,) by one action.

        Args:
            which: indices of the hands.
            fingertips: their fingertip positions (M, F, 3) in metres.
            joints: their joint angles (M, J) in radians.
            goals: their goal orientations (M, 4).

        Returns:
            The targets (M, A) in radians, unchanged where a hand is held.
        """
        self.invalid_action[which] = False
        rows = np.flatnonzero(self.age[which] <= self._patience)
        if rows.size:
            self._move(which[rows], fingertips[rows], joints[rows], goals[rows])
        return self.targets[which]

    def restore(self, targets: Array) -> None:
        """Resets the targets to (B, A), after a hand did not receive the newer ones."""
        self._decoder.targets = targets

    def _move(
        self, hands: NDArray[np.intp], fingertips: Array, joints: Array, goals: Array
    ) -> None:
        goals = self._symmetry.equivalent(goals, self.quaternion[hands])
        measured = Measurement(fingertips, self.position[hands], self.quaternion[hands], joints)
        observation = build_observation(
            self._bundle.layout, measured, goals, self._decoder.scaled_targets[hands]
        )
        memory = PolicyMemory(self._memory.h[hands], self._memory.c[hands])
        bins, after, finite = self._bundle.policy.act(observation, memory)
        self._memory.h[hands], self._memory.c[hands] = after.h, after.c
        self._clear_memory(hands[~finite])
        self.invalid_action[hands] = ~finite
        all_bins, angles = np.zeros((2, len(self.age), len(self._bundle.hand.actuators)))
        all_bins[hands], angles[hands] = bins, self._bundle.hand.actuated(joints)
        before = self.targets
        decoded = self._decoder.decode(all_bins, angles)
        moved = before + np.clip(decoded - before, -self._largest_step, self._largest_step)
        acting = np.zeros((len(self.age), 1), dtype=bool)
        acting[hands[finite]] = True
        self._decoder.targets = np.where(acting, moved, before)

    def _clear_memory(self, hands: NDArray[np.intp]) -> None:
        self._memory.h[hands] = 0.0
        self._memory.c[hands] = 0.0
