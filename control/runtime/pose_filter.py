"""Kalman filter on pose estimates: weights each by its covariance and rejects jumps."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

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
    """Parameters of the filter. The pose is modelled as a random walk."""

    position_walk: float = 0.015
    """Standard deviation of the object's motion in one action, per axis, in metres: above the
    motion measured with the shipped policies (docs/loop.md), which toss the object slightly."""
    rotation_walk: float = 0.15
    """Standard deviation of its rotation in one action, per axis, in radians."""
    position_floor: float = 0.002
    """Standard deviation added to each estimate, per axis, in metres: networks are often
    overconfident."""
    rotation_floor: float = 0.05
    """The same for rotation, in radians."""
    gate: float = 22.46
    """Squared Mahalanobis distance beyond which an estimate is rejected: the 99.9th percentile of
    chi-squared with six degrees of freedom."""
    accept_after: int = 4
    """Rejected estimates in a row that agree with each other before the filter restarts there."""


class FilteredPose:
    """A pose source behind a Kalman filter.

    The error state is a position (m) and a rotation vector (rad) in the hand frame, multiplied to
    the quaternion from the left: the parametrisation of the estimator's covariance (6, 6).
    """

    def __init__(self, source: PoseSource, config: FilterConfig | None = None) -> None:
        """The first valid pose of `source` initialises the filter."""
        self._source = source
        self.config = config or FilterConfig()
        walk = [self.config.position_walk**2] * 3 + [self.config.rotation_walk**2] * 3
        floor = [self.config.position_floor**2] * 3 + [self.config.rotation_floor**2] * 3
        self._walk, self._floor = np.diag(walk), np.diag(floor)
        self._reset()

    def _reset(self) -> None:
        self._state: Pose | None = None
        self._rejected: Pose | None = None
        self._agreeing = 0

    @property
    def seconds(self) -> Mapping[str, float]:
        """Durations reported by the source."""
        return self._source.seconds

    def pose(self, reading: HandReading) -> Pose:
        """Returns the filtered pose.

        Raises:
            Fault: the estimate was rejected as a jump, or the source had none.
        """
        self._predict()
        try:
            estimate = check_pose(self._source.pose(reading))
        except Fault:
            self._agreeing, self._rejected = 0, None
            raise
        measured = Pose(estimate.position, estimate.quaternion, estimate.covariance + self._floor)
        if self._state is None:
            self._state = measured
        elif _squared_distance(self._state, measured) > self.config.gate:
            self._reject(self._state, measured)
        else:
            self._agreeing, self._rejected = 0, None
            self._state = _update(self._state, measured)
        # Angles of hinges, and features, are the latest ones.
        latest = {name: getattr(estimate, name) for name in ("tokens", "hinges", "hinge_std")}
        return replace(self._state, **latest)

    def _reject(self, state: Pose, measured: Pose) -> None:
        """Raises a `Fault`, unless enough rejected estimates in a row agree."""
        agrees = (
            self._rejected is not None
            and _squared_distance(_widened(self._rejected, self._walk), measured)
            <= self.config.gate
        )
        self._agreeing = self._agreeing + 1 if agrees else 1
        self._rejected = measured
        if self._agreeing >= self.config.accept_after:
            self._state, self._agreeing, self._rejected = measured, 0, None
            return
        shift = _difference(state, measured)
        raise Fault(
            "pose",
            f"the estimate jumped by {np.linalg.norm(shift[:3]) * 1000:.0f} mm and "
            f"{np.rad2deg(np.linalg.norm(shift[3:])):.0f}°",
        )

    def _predict(self) -> None:
        """Adds the motion of one action to the covariance."""
        if self._state is not None:
            self._state = _widened(self._state, self._walk)

    def skip(self) -> None:
        """Predicts without a measurement."""
        self._predict()
        self._agreeing, self._rejected = 0, None
        self._source.skip()

    def restart(self) -> None:
        """Clears the state; the next valid pose initialises the filter."""
        self._reset()
        self._source.restart()

    def close(self) -> None:
        """Closes the source."""
        self._source.close()


def _widened(pose: Pose, walk: Array) -> Pose:
    return Pose(pose.position, pose.quaternion, pose.covariance + walk)


def _difference(a: Pose, b: Pose) -> Array:
    """From a to b (6,): position, then rotation vector, in the hand frame."""
    rotation = quat_to_rotvec(quat_multiply(b.quaternion, quat_conjugate(a.quaternion)))
    return np.concatenate([b.position - a.position, rotation])


def _squared_distance(state: Pose, measured: Pose) -> float:
    """The squared Mahalanobis distance."""
    shift = _difference(state, measured)
    return float(shift @ np.linalg.solve(state.covariance + measured.covariance, shift))


def _update(state: Pose, measured: Pose) -> Pose:
    """The Kalman update with a measurement of the whole state."""
    gain = state.covariance @ np.linalg.inv(state.covariance + measured.covariance)
    step = gain @ _difference(state, measured)
    rest = np.eye(6) - gain
    # Joseph form: stays symmetric and positive definite.
    covariance = rest @ state.covariance @ rest.T + gain @ measured.covariance @ gain.T
    quaternion = quat_multiply(rotvec_to_quat(step[3:]), state.quaternion)
    sign = 1.0 if quaternion[0] >= 0 else -1.0
    return Pose(state.position + step[:3], sign * quaternion, covariance)
