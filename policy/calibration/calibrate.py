"""Calibrates a hand by a log: the fit, its intervals, and whether it is accepted."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from opendactyl.geometry.rotation import Array
from opendactyl.policy.calibration.fit import Fit, fit, horizon_errors
from opendactyl.policy.calibration.intervals import Intervals, intervals
from opendactyl.policy.calibration.log import MIN_MOTION, Log
from opendactyl.policy.calibration.prediction import Predictor
from opendactyl.policy.calibration.simulation import empty_scene

HORIZON = 1.0
"""Horizon in seconds of the predictions that decide (D18 C.3)."""
REQUIRED = 0.95
"""The error of an accepted fit is below this fraction of the model's."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """A fit and the measures of its quality."""

    predictor: Predictor
    fit: Fit
    intervals: Intervals
    before: Array
    after: Array
    """Root mean square errors of predictions over a second in held-out windows (J,), in radians,
    of the model as it is and of the fit."""

    @property
    def excited(self) -> NDArray[np.bool_]:
        """Which joints (J,) move in the log."""
        return self.predictor.log.motion >= MIN_MOTION

    @property
    def errors(self) -> tuple[float, float]:
        """The errors before and after, over the joints that move."""
        before, after = self.before[self.excited], self.after[self.excited]
        return float(np.sqrt(np.mean(before**2))), float(np.sqrt(np.mean(after**2)))

    @property
    def refusal(self) -> str:
        """Why the fit is not accepted; empty if it is."""
        before, after = self.errors
        if after < REQUIRED * before:
            return ""
        return (
            f"over {HORIZON:g} s in blocks that were held out, its error is {1e3 * after:.1f} "
            f"mrad, that of the model as it is {1e3 * before:.1f} mrad; it has to be at least "
            f"{1 - REQUIRED:.0%} smaller"
        )


def calibrate(log: Log, hand: str, *, threads: int = 0, progress: bool = True) -> Calibration:
    """Fits the parameters of a hand to a log.

    Raises:
        InputError: the log cannot be used.
    """
    predictor = Predictor(log, empty_scene(hand), threads)
    found = fit(predictor, progress=progress)
    known = intervals(found, predictor.space)
    before, after = (horizon_errors(predictor, x, HORIZON) for x in (None, found.x))
    return Calibration(predictor, found, known, before, after)
