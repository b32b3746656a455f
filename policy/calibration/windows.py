"""Windows of a log: what is simulated at a time, what is fitted, and what decides about the fit."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from opendactyl.core.errors import InputError
from opendactyl.geometry.rotation import Array
from opendactyl.policy.calibration.commands import Commands
from opendactyl.policy.calibration.log import Log
from opendactyl.sim.timing import TIMESTEP

BLOCK = 6.0
"""Duration in seconds of the blocks that are held out, and that the bootstrap resamples."""
HELD_OUT = 5
"""Every fifth block is held out."""
MAX_GAP = 0.2
"""Longest gap between samples within a window, in seconds."""
RATE = 25.0
"""Samples per second that are compared at most."""
RECENT = 0.25
"""Simulations begin at a command that is not more than this before the window, in seconds."""


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows of equal length, and the samples in them."""

    begin: Array
    """When simulations begin (W,), in seconds of the log: at a command if one is `RECENT`."""
    steps: int
    """Length of the simulations in physics steps."""
    rows: NDArray[np.intp]
    """Samples of the log (R,) that are compared."""
    window: NDArray[np.intp]
    """The window of each (R,)."""
    block: NDArray[np.intp]
    """The block of each (R,)."""
    position: Array
    """When each is within its simulation (R,), in physics steps."""

    def __len__(self) -> int:
        return len(self.begin)

    def only(self, chosen: NDArray[np.bool_]) -> "Windows":
        """Some of the windows (W,)."""
        kept, number = chosen[self.window], np.cumsum(chosen) - 1
        return Windows(
            self.begin[chosen], self.steps, self.rows[kept], number[self.window[kept]],
            self.block[kept], self.position[kept],
        )  # fmt: skip

    def at_samples(self, tracks: NDArray[np.floating]) -> Array:
        """Simulated values (..., W, S + 1, n) at the samples: (..., R, n)."""
        step = np.minimum(self.position.astype(np.intp), self.steps - 1)
        weight = (self.position - step)[:, None]
        before, after = tracks[..., self.window, step, :], tracks[..., self.window, step + 1, :]
        return (1 - weight) * before + weight * after


def blocks(log: Log) -> NDArray[np.intp]:
    """The block of each sample (N,)."""
    return ((log.time - log.time[0]) // BLOCK).astype(np.intp)


def held_out(log: Log) -> NDArray[np.bool_]:
    """Which samples (N,) are held out."""
    return blocks(log) % HELD_OUT == HELD_OUT // 2


def make_windows(
    log: Log, commands: Commands, seconds: float, lead: float, samples: NDArray[np.bool_]
) -> Windows:
    """Divides a log into windows.

    Args:
        log: the log.
        commands: its commands.
        seconds: length of the compared part.
        lead: simulated time before it, in which errors of the initial state decay.
        samples: which samples (N,) are compared; windows without any are left out.

    Raises:
        InputError: gaps leave no samples.
    """
    first = log.time[0]
    begin = np.arange(first, log.time[-1], seconds)
    last = commands.time[np.searchsorted(commands.time, begin - lead + 1e-6, "right") - 1]
    simulated = np.maximum(np.where(begin - lead - last > RECENT, begin - lead, last), first)
    gaps = np.flatnonzero(np.diff(log.time) > MAX_GAP)
    stride = max(1, round(1 / (RATE * log.interval)))
    chosen = samples & (np.arange(len(log.time)) % stride == 0) & (log.time >= first + lead)
    window = np.minimum(((log.time - first) // seconds).astype(np.intp), len(begin) - 1)
    for gap in gaps:
        spoiled = (simulated < log.time[gap + 1]) & (begin + seconds > log.time[gap])
        chosen &= ~spoiled[window]
    rows = np.flatnonzero(chosen)
    if not len(rows):
        raise InputError(
            f"{log.where} has too little motion without gaps of more than {MAX_GAP:g} s; record "
            "more, without interruptions"
        )
    kept, number = np.unique(window[rows], return_inverse=True)
    position = (log.time[rows] - simulated[window[rows]]) / TIMESTEP
    steps = int(np.ceil(position.max()))
    return Windows(simulated[kept], steps, rows, number, blocks(log)[rows], position)
