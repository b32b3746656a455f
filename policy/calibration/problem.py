"""The least-squares problem of a fit, divided into the chains of the hand."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from opendactyl.geometry.rotation import Array
from opendactyl.policy.calibration.prediction import Predicted, Predictor
from opendactyl.policy.calibration.windows import Windows

LEAST_NOISE = (2e-4, 1e-3)
ROBUST = 3.0
"""Residuals beyond this many deviations count less (soft L1 loss)."""


class Subproblem(NamedTuple):
    """The problem of one chain at some point, in z: coordinates in deviations of the prior."""

    parameters: NDArray[np.intp]
    """Their numbers (n,)."""
    residuals: Array
    """(R, m), in deviations of the noise."""
    jacobian: Array
    """Derivatives of the residuals by z (R, m, n)."""


class Problem:
    """Residuals of windows for coordinates z (n,)."""

    def __init__(self, predictor: Predictor, windows: Windows) -> None:
        """Takes windows; `estimate_noise` has to come before residuals and costs."""
        self.predictor, self.windows = predictor, windows
        self.noise = (np.ones(0), np.ones(0))
        """Deviations of angles (J,), in radians, and torques (A,), in N m."""
        self.space, log = predictor.space, predictor.log
        self._measured = log.joints[windows.rows]
        self._efforts = None if log.efforts is None else log.efforts[windows.rows]
        self.chains = int(self.space.chain.max()) + 1

    def x(self, z: Array) -> Array:
        """The coordinates of the parameters (n,)."""
        return self.space.mean + self.space.deviation * z

    def z(self, x: Array) -> Array:
        """Coordinates of the parameters (n,) in deviations of the prior."""
        return (x - self.space.mean) / self.space.deviation

    def predict(self, z: Array) -> Predicted:
        """The predictions of all samples for P sets of coordinates (P, n)."""
        values = self.space.values(self.x(z))
        return self.predictor.predict(values, self.windows, measured_slack=True)

    def residuals(self, at: Predicted, number: int = 0) -> list[Array]:
        """For each chain the residuals (R, m) of its joints and actuators, of one prediction."""
        of_joints = (self._measured - at.joints[number]) / self.noise[0]
        found = []
        for chain in range(self.chains):
            joints, actuators = self.predictor.members(chain)
            columns = [of_joints[:, joints]]
            if self._efforts is not None:
                torques = self._efforts[:, actuators] - at.efforts[number][:, actuators]
                columns.append(torques / self.noise[1][actuators])
            found.append(np.hstack(columns))
        return found

    def subproblems(
        self, z: Array, at: Predicted, moves: list[Array] | None = None
    ) -> list[Subproblem]:
        """Every chain's problem at z (n,), whose prediction is `at`; `moves` as `derivatives`."""
        blocks = self.predictor.derivatives(self.x(z), at, self.windows, moves, measured_slack=True)
        found = []
        for block, residuals in zip(blocks, self.residuals(at), strict=True):
            derivatives = [block.of_joints / self.noise[0][block.joints, None]]
            if self._efforts is not None:
                derivatives.append(block.of_efforts / self.noise[1][block.actuators, None])
            scale = self.space.deviation[block.parameters]
            jacobian = -np.concatenate(derivatives, axis=1) * scale
            found.append(Subproblem(block.parameters, residuals, jacobian))
        return found

    def costs(self, z: Array, at: Predicted) -> Array:
        """Negative log-posterior (P, chains) of coordinates (P, n), up to a constant."""
        prior = np.stack([np.bincount(self.space.chain, row**2) / 2 for row in z])
        losses = [[_loss(r).sum() for r in self.residuals(at, number)] for number in range(len(z))]
        return np.array(losses) + prior

    def estimate_noise(self, at: Predicted) -> None:
        """Sets the noise to the deviations of the residuals of one prediction, without outliers."""
        angles = 1.4826 * np.median(np.abs(self._measured - at.joints[0]), axis=0)
        torques = np.ones(0)
        if self._efforts is not None:
            torques = 1.4826 * np.median(np.abs(self._efforts - at.efforts[0]), axis=0)
        self.noise = np.maximum(angles, LEAST_NOISE[0]), np.maximum(torques, LEAST_NOISE[1])


def _loss(residuals: Array) -> Array:
    return ROBUST**2 * (np.sqrt(1 + (residuals / ROBUST) ** 2) - 1)


def robust_weight(residuals: Array) -> Array:
    """Weight of each residual in the normal equations of the soft L1 loss."""
    return 1 / np.sqrt(1 + (residuals / ROBUST) ** 2)
