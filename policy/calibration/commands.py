"""When commands were sent, by a log of sampled targets."""

from typing import NamedTuple

import numpy as np

from opendactyl.geometry.rotation import Array
from opendactyl.policy.calibration.log import Log
from opendactyl.sim.timing import TIMESTEP

SEPARATE = 5.0
"""Recordings of one log are at least so many seconds apart; each has a phase of its own."""
NEAR = 0.3
"""The period differs from the median time between changes by less than this fraction."""


class Commands(NamedTuple):
    """Commands to the hand."""

    time: Array
    """(M,) in seconds, increasing; the first is before the log."""
    targets: Array
    """(M, A) in radians."""
    period: float
    """Time between two commands in seconds."""


def find_commands(log: Log) -> Commands:
    """The commands of a log.

    A command lies between two samples with different targets. Where commands are periodic and rarer
    than samples, their times are those of a clock, which are more precise than the sampling
    interval; otherwise every change, or every sample, is a command. Commands that are closer than
    physics steps are thinned out.
    """
    rows = np.flatnonzero(np.any(np.abs(np.diff(log.targets, axis=0)) > 1e-9, axis=1))
    changes = (log.time[rows] + log.time[rows + 1]) / 2
    typical = float(np.median(np.diff(changes))) if len(rows) > 1 else 0.0
    if typical < 1.5 * log.interval:
        return _after_start(log, log.time, log.targets, log.interval)
    ends = np.flatnonzero(np.diff(log.time) >= SEPARATE)
    recording = np.searchsorted(ends, rows, "left")
    groups = [changes[recording == number] for number in np.unique(recording)]
    period = _period(groups, typical)
    phases = [_phase(group, period) for group in groups]
    late = [
        group - _on_clock(group, phase, period) for group, phase in zip(groups, phases, strict=True)
    ]
    if np.std(np.concatenate(late)) > 0.5 * log.interval:
        return _after_start(log, changes, log.targets[rows + 1], typical)
    first = np.append(log.time[0], log.time[ends + 1])[np.unique(recording)]
    last = np.append(log.time[ends], log.time[-1])[np.unique(recording)]
    grid = np.concatenate([
        np.arange(float(_on_clock(begin, phase, period)), end - 1e-9, period)
        for begin, end, phase in zip(first, last, phases, strict=True)
    ])  # fmt: skip
    row = np.searchsorted(log.time, grid + period / 2, side="right") - 1
    return _after_start(log, grid, log.targets[row], period)


def _on_clock(time: Array, phase: float, period: float) -> Array:
    """The times of a clock that are nearest to given ones."""
    return phase + period * np.rint((time - phase) / period)


def _phase(changes: Array, period: float) -> float:
    """The phase of a clock, as the mean of the times of changes on its circle."""
    return float(np.angle(np.exp(2j * np.pi * changes / period).sum())) * period / (2 * np.pi)


def _period(groups: list[Array], typical: float) -> float:
    """The period of the clock that changes (M,) of each recording keep best.

    The periodogram of short pieces has one wide maximum; each step takes pieces of twice the
    length, and looks where the one before has found it. So counting over rests cannot go wrong.
    """
    longest = max(float(group[-1] - group[0]) for group in groups)
    piece, width, count = 16 * typical, NEAR * typical, 121
    period = typical
    while True:
        trials = period + width * np.linspace(-1, 1, count)
        scores = [sum(_agreement(group, piece, trial) for group in groups) for trial in trials]
        period = float(trials[np.argmax(scores)])
        if piece >= longest:
            return _slope(groups, period)
        width, count, piece = period**2 / (2 * piece), 41, 2 * piece


def _slope(groups: list[Array], period: float) -> float:
    """The slope of the lines through the times of changes over their numbers, by least squares."""
    products, squares = 0.0, 0.0
    for group in groups:
        number = np.rint((group - _phase(group, period)) / period)
        number -= number.mean()
        products, squares = products + number @ group, squares + number @ number
    return float(products / squares) if squares else period


def _agreement(changes: Array, piece: float, period: float) -> float:
    """How well changes in each piece of their time have the same phase, summed over the pieces."""
    begins = np.flatnonzero(np.diff((changes - changes[0]) // piece, prepend=-1.0))
    return float(np.abs(np.add.reduceat(np.exp(2j * np.pi * changes / period), begins)).sum())


def _after_start(log: Log, time: Array, targets: Array, period: float) -> Commands:
    """Commands with one before the log; of several in a physics step, the last one."""
    if period < TIMESTEP:
        last = np.append(np.diff(time // TIMESTEP) > 0, True)
        time, targets, period = time[last], targets[last], TIMESTEP
    start = min(log.time[0], time[0]) - 10.0
    return Commands(
        np.concatenate([[start], time]), np.concatenate([log.targets[:1], targets]), period
    )
