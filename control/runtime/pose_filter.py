"""Fuses estimates over time: weighs each by its covariance, and rejects jumps."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from opendactyl.control.runtime.interfaces import Fault, HandReading, PoseSource
from opendactyl.control.runtime.validation import check_pose
from opendactyl.geometry.rotation import (
    Array,
    quat_conjugate,
    quat_multiply,
    quat_to_rotvec,
    rotvec_to_quat,
)
from opendactyl.vision.estimator import Pose


@dataclass(frozen=True, kw_only=True)
class FilterConfig:
    """Settings of the filter: a random walk of the pose, seen through the estimates."""

    position_walk: float = 0.015
    """Standard deviation of what the object moves in one action, per axis, in metres: more than
    the policies that ship make it move (docs/loop.md), who throw it a little."""
    rotation_walk: float = 0.15
    """Standard deviation of what it turns in one action, per axis, in radians."""
    position_floor: float = 0.002
    """No estimate is trusted more closely than this, in metres: networks tend to be too sure."""
    rotation_floor: float = 0.05
    """The same for rotation, in radians."""
    gate: float = 22.46
    """Squared Mahalanobis distance beyond which an estimate is a jump: the 99.9th percentile of
    chi-squared with six degrees of freedom."""
    give_in: int = 4
    """A jump is believed once this many estimates in a row agree on it."""


class FilteredPose:
    """A pose source behind a Kalman filter on position and rotation vector (hand frame)."""

    def __init__(self, source: PoseSource, config: FilterConfig | None = None) -> None:
        """Starts with the first pose that the source gives."""
        self._source = source
        self.config = config or FilterConfig()
        walk = [self.config.position_walk**2] * 3 + [self.config.rotation_walk**2] * 3
        floor = [self.config.position_floor**2] * 3 + [self.config.rotation_floor**2] * 3
        self._walk, self._floor = np.diag(walk), np.diag(floor)
        self._forget()

    def _forget(self) -> None:
        self._state: Pose | None = None
        self._rejected: Pose | None = None
        self._agreeing = 0

    @property
    def seconds(self) -> Mapping[str, float]:
        """Those of the source."""
        return self._source.seconds

    def pose(self, reading: HandReading) -> Pose:
        """The fused pose; a `Fault` for a jump, or for what the source raised."""
        self._age()
        try:
            seen = check_pose(self._source.pose(reading))
        except Fault:
            self._agreeing, self._rejected = 0, None
            raise
        # A network's covariance has no negative values; adding the floor keeps it regular.
        seen = Pose(seen.position, seen.quaternion, seen.covariance + self._floor)
        if self._state is None:
            self._state = seen
        elif (distance := _distance(self._state, seen)) > self.config.gate:
            self._jumped(self._state, seen, distance)
        else:
            self._agreeing, self._rejected = 0, None
            self._state = _fused(self._state, seen)
        return self._state

    def _jumped(self, state: Pose, seen: Pose, distance: float) -> None:
        """Rejects an estimate, unless enough of them agree that the object has moved."""
        agrees = self._rejected is not None and _agree(
            self._rejected, seen, self._walk, self.config
        )
        self._agreeing = self._agreeing + 1 if agrees else 1
        self._rejected = seen
        if self._agreeing >= self.config.give_in:
            self._state, self._agreeing, self._rejected = seen, 0, None
            return
        shift = _difference(state, seen)
        raise Fault(
            "pose",
            f"the estimate jumped by {np.linalg.norm(shift[:3]) * 1000:.0f} mm and "
            f"{np.rad2deg(np.linalg.norm(shift[3:])):.0f}°",
        )

    def _age(self) -> None:
        """The object may have moved for one action."""
        if self._state is not None:
            state = self._state
            self._state = Pose(state.position, state.quaternion, state.covariance + self._walk)

    def skip(self) -> None:
        """Becomes less sure of where the object is."""
        self._age()
        self._agreeing, self._rejected = 0, None
        self._source.skip()

    def restart(self) -> None:
        """Takes the next pose as it comes, however far it is from the last."""
        self._forget()
        self._source.restart()

    def close(self) -> None:
        """Closes the source."""
        self._source.close()


def _difference(a: Pose, b: Pose) -> Array:
    """From a to b (6,): position, then rotation vector, in the hand frame."""
    turn = quat_to_rotvec(quat_multiply(b.quaternion, quat_conjugate(a.quaternion)))
    return np.concatenate([b.position - a.position, turn])


def _distance(state: Pose, seen: Pose) -> float:
    """The squared Mahalanobis distance."""
    shift = _difference(state, seen)
    return float(shift @ np.linalg.solve(state.covariance + seen.covariance, shift))


def _agree(earlier: Pose, seen: Pose, walk: Array, config: FilterConfig) -> bool:
    moved = Pose(earlier.position, earlier.quaternion, earlier.covariance + walk)
    return _distance(moved, seen) <= config.gate


def _fused(state: Pose, seen: Pose) -> Pose:
    gain = state.covariance @ np.linalg.inv(state.covariance + seen.covariance)
    step = gain @ _difference(state, seen)
    kept = np.eye(6) - gain
    # Joseph's form stays symmetric and positive.
    covariance = kept @ state.covariance @ kept.T + gain @ seen.covariance @ gain.T
    quaternion = quat_multiply(rotvec_to_quat(step[3:]), state.quaternion)
    sign = 1.0 if quaternion[0] >= 0 else -1.0
    return Pose(state.position + step[:3], sign * quaternion, covariance)
