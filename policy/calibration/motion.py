"""What a log says about the motion: the state at any time, and which targets act."""

from typing import NamedTuple

import numpy as np
from scipy.signal import savgol_filter

from opendactyl.geometry.rotation import Array
from opendactyl.policy.calibration.commands import Commands
from opendactyl.policy.calibration.log import Log
from opendactyl.policy.calibration.parameters import Values
from opendactyl.policy.randomization.actuation import Ids
from opendactyl.policy.randomization.backlash import along
from opendactyl.sim.scene import Scene

_STEP = 0.004
"""Step of the grid in seconds."""
_SMOOTHED = 0.06
"""Duration over which angles are smoothed, in seconds."""


class Start(NamedTuple):
    """States of the hand, from which simulations start."""

    joints: Array
    """(K, J)."""
    velocities: Array
    """(K, J)."""
    slack: Array
    """(K, A)."""
    applied: Array
    """The targets that act (K, A)."""
    last: Ids
    """The last command that has arrived at each actuator (K, A)."""


class Applied(NamedTuple):
    """What acts after each command."""

    slack: Array
    """(M, P, A)."""
    targets: Array
    """Targets after the loss in the slack (M, P, A), in radians."""


class MeasuredMotion:
    """A log on a grid."""

    def __init__(self, log: Log, commands: Commands, scene: Scene) -> None:
        """Smooths the angles, and derives velocities where the log has none."""
        self._commands, self._scene = commands, scene
        self._first = float(log.time[0])
        grid = np.arange(self._first, log.time[-1] + _STEP, _STEP)
        width = max(5, round(max(_SMOOTHED, 5 * log.interval) / _STEP) // 2 * 2 + 1)
        angles = np.stack([np.interp(grid, log.time, q) for q in log.joints.T], axis=1)
        width = min(width, (len(grid) - 1) // 2 * 2 + 1)
        self._angles = np.asarray(savgol_filter(angles, width, 2, axis=0))
        if log.velocities is None:
            slopes = savgol_filter(angles, width, 2, deriv=1, delta=_STEP, axis=0)
            self._velocities = np.asarray(slopes)
        else:
            velocities = [np.interp(grid, log.time, v) for v in log.velocities.T]
            self._velocities = np.stack(velocities, axis=1)
        self._actuated = scene.transmission(self._angles)

    def starts(self, time: Array, which: Ids, values: Values, applied: Applied) -> Start:
        """The states of K simulations at their beginning.

        Args:
            time: when they begin (K,).
            which: the set of parameters of each (K,).
            values: of P sets.
            applied: what acts with them.
        """
        last = np.searchsorted(self._commands.time, time[:, None] - values["delay"][which], "right")
        last -= 1
        actuator = np.arange(last.shape[1])
        row = np.clip(np.rint((time - self._first) / _STEP).astype(int), 0, len(self._angles) - 1)
        return Start(
            self._angles[row] - values["offset"][which],
            self._velocities[row],
            applied.slack[last, which[:, None], actuator],
            applied.targets[last, which[:, None], actuator],
            last,
        )

    def applied(self, values: Values) -> Applied:
        """What acts with P sets of parameters: slack is taken up along the measured angles."""
        commands, delay = self._commands, values["delay"]
        row = (commands.time[:, None, None] + delay - self._first) / _STEP
        row = np.clip(row, 0, len(self._actuated) - 1.001)
        before, actuator = row.astype(np.intp), np.arange(delay.shape[1])
        weight = row - before
        actuated = (1 - weight) * self._actuated[before, actuator]
        actuated += weight * self._actuated[before + 1, actuator]
        actuated -= self._scene.transmission(values["offset"])
        rates = np.stack([values["slack_down"], values["slack_up"]], axis=1)
        return Applied(*along(commands.targets[:, None], actuated, rates, commands.period))
