"""How well a fit knows its parameters: from curvature and from a bootstrap over blocks."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from opendactyl.geometry.rotation import Array
from opendactyl.policy.calibration.fit import Fit
from opendactyl.policy.calibration.parameters import ParameterSpace

SAMPLES = 400
"""Resampled sets of blocks."""
QUANTILE = 1.645
"""Deviations on either side of a 90 % interval of a normal distribution."""
INFLATION = 2.0
"""Factor of all deviations: neither the curvature nor the bootstrap knows the errors that slack
causes where it decides by a threshold, nor those of the measured angles along which it is taken up.
Chosen on simulated robots that no reported figure uses (`docs/calibration.md`)."""
DETERMINED = 0.5
"""A parameter is determined if its deviation is below this fraction of the prior's."""


@dataclass(frozen=True, eq=False)
class Intervals:
    """Intervals of the coordinates of a fit (n,)."""

    curvature: Array
    """Deviations from the curvature of the residuals and the prior."""
    bootstrap: Array
    """Deviations of fits to resampled blocks."""
    deviation: Array
    """The larger of the two, times `INFLATION`."""
    correlation: Array
    """Of the coordinates (n, n), from the curvature."""
    low: Array
    high: Array
    """Ends of the 90 % intervals, from `deviation`."""
    determined: NDArray[np.bool_]
    """Whether the log tells more than the prior."""


def intervals(fit: Fit, space: ParameterSpace, seed: int = 0) -> Intervals:
    """Intervals of a fit.

    The bootstrap is linearised: each resampled fit is one Newton step from the fit of all blocks.
    """
    prior = 1 / space.deviation**2
    covariance = np.linalg.inv(fit.curvature.sum(axis=0) + np.diag(prior))
    curvature = np.sqrt(np.diag(covariance))
    bootstrap = _bootstrap(fit, space, np.random.default_rng(seed))
    deviation = INFLATION * np.maximum(curvature, bootstrap)
    deviation = np.minimum(deviation, space.deviation)
    low = np.maximum(fit.x - QUANTILE * deviation, space.low)
    high = np.minimum(fit.x + QUANTILE * deviation, space.high)
    correlation = covariance / np.outer(curvature, curvature)
    determined = deviation < DETERMINED * space.deviation
    return Intervals(curvature, bootstrap, deviation, correlation, low, high, determined)


def _bootstrap(fit: Fit, space: ParameterSpace, rng: np.random.Generator) -> Array:
    """Deviations (n,) of fits to resampled blocks."""
    count, prior = len(fit.gradient), 1 / space.deviation**2
    pull = prior * (fit.x - space.mean)
    weights = rng.multinomial(count, np.full(count, 1 / count), SAMPLES)
    moves = [
        np.linalg.solve(
            np.tensordot(weight, fit.curvature, 1) + np.diag(prior), weight @ fit.gradient - pull
        )
        for weight in weights
    ]
    return np.std(moves, axis=0)
