"""Controller of B hands: last valid pose, observation, policy, joint targets.

Used by the batched evaluation and by the loop of one robot. Needs the base install only.
"""

import numpy as np
from numpy.typing import NDArray

from opendactyl.control.bundle.load import Bundle
from opendactyl.control.bundle.manifest import articulation_of
from opendactyl.control.bundle.policy_session import token_shape
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
        shape = token_shape(bundle.manifest["policy"])
        self._tokens = None if shape is None else np.full((batch, *shape), np.nan, np.float32)
        articulation = articulation_of(bundle.manifest)
        count = len(articulation.hinges) if articulation else 0
        self.hinges: Array = np.zeros((batch, count))
        """Last valid angles (B, H) of the object's hinges, in radians."""
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
        self._memory.clear(where)

    def observe(self, hand: int, pose: Pose | None) -> None:
        """Stores the object's pose in one hand, or that none was available in this action."""
        if pose is None:
            self.age[hand] = min(self.age[hand] + 1, _NEVER)
        else:
            self.position[hand], self.quaternion[hand] = pose.position, pose.quaternion
            if pose.hinges is not None:
                self.hinges[hand] = pose.hinges
            self.age[hand] = 0
            if self._tokens is not None:
                self._tokens[hand] = np.nan if pose.tokens is None else pose.tokens

    def act(
        self,
        which: NDArray[np.intp],
        fingertips: Array,
        joints: Array,
        goals: Array,
        *,
        touch: Array | None = None,
        forces: Array | None = None,
    ) -> Array:
        """Advances the targets of hands `which` (M,) by one action.

        Args:
            which: indices of the hands.
            fingertips: their fingertip positions (M, F, 3) in metres.
            joints: their joint angles (M, J) in radians.
            goals: their goal orientations, and angles of hinges (M, 4 + H).
            touch: contact forces (M, F) on their fingertips; None: not measured.
            forces: forces (M, A) of their actuators, likewise.

        Returns:
            The targets (M, A) in radians, unchanged where a hand is held.
        """
        self.invalid_action[which] = False
        rows = np.flatnonzero(self.age[which] <= self._patience)
        if rows.size:
            sensed = [None if x is None else x[rows] for x in (touch, forces)]
            hands = which[rows]
            measured = Measurement(
                fingertips[rows], self.position[hands], self.quaternion[hands], joints[rows],
                *sensed, hinges=self.hinges[hands],
            )  # fmt: skip
            self._move(hands, measured, goals[rows])
        return self.targets[which]

    def restore(self, targets: Array) -> None:
        """Resets the targets to (B, A), after a hand did not receive the newer ones."""
        self._decoder.targets = targets

    def _move(self, hands: NDArray[np.intp], measured: Measurement, goals: Array) -> None:
        nearest = self._symmetry.equivalent(goals[:, :4], measured.object_quaternion)
        goals = np.concatenate([nearest, goals[:, 4:]], axis=-1)
        observation = build_observation(
            self._bundle.layout, measured, goals, self._decoder.scaled_targets[hands]
        )
        tokens = None if self._tokens is None else self._tokens[hands]
        bins, after, finite = self._bundle.policy.act(observation, self._memory.of(hands), tokens)
        self._memory.update(hands, after)
        self._memory.clear(hands[~finite])
        self.invalid_action[hands] = ~finite
        all_bins, angles = np.zeros((2, len(self.age), len(self._bundle.hand.actuators)))
        all_bins[hands], angles[hands] = bins, self._bundle.hand.actuated(measured.joints)
        before = self.targets
        decoded = self._decoder.decode(all_bins, angles)
        moved = before + np.clip(decoded - before, -self._largest_step, self._largest_step)
        acting = np.zeros((len(self.age), 1), dtype=bool)
        acting[hands[finite]] = True
        self._decoder.targets = np.where(acting, moved, before)
