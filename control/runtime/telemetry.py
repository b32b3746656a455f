"""Counts and durations of a loop's actions; logs each change of state and new kind of error."""

import logging
import re
import traceback
from collections import Counter, defaultdict, deque
from dataclasses import dataclass
from typing import Any

import numpy as np

from opendactyl.control.runtime.interfaces import Fault
from opendactyl.control.runtime.realtime import NORMAL
from opendactyl.geometry.rotation import Array

log = logging.getLogger(__name__)

MAX_DURATIONS = 10_000
"""Number of durations kept for each stage of an action."""

ACTING, COASTING, HOLDING = "acting", "coasting", "holding"
"""On a new pose; on the last valid one; hand held still."""


@dataclass(frozen=True, eq=False)
class Status:
    """The result of one action."""

    number: int
    """Number of the action, from 0."""
    state: str
    """`acting`, `coasting` or `holding`."""
    faults: tuple[Fault, ...]
    """Faults in this action."""
    position: Array
    """Last valid position (3,) of the object in metres, hand frame."""
    quaternion: Array
    """Last valid orientation (4,)."""
    goal: Array | None
    """The goal (4,); None before the first."""
    targets: Array | None
    """Joint targets (20,) sent to the hand, in radians; None before the hand's first reading."""
    seconds: float
    """Duration of the action."""


class Durations:
    """Durations of the stages of an action."""

    def __init__(self) -> None:
        """Starts empty."""
        self._seconds: defaultdict[str, deque[float]] = defaultdict(
            lambda: deque(maxlen=MAX_DURATIONS)
        )

    def add(self, stage: str, seconds: float) -> None:
        """Adds one duration."""
        self._seconds[stage].append(seconds)

    def summary(self) -> dict[str, dict[str, float]]:
        """Per stage: p50, p95 and p99 in milliseconds, over the last `MAX_DURATIONS` durations."""
        return {
            stage: {
                f"p{percent}": float(np.percentile(np.array(values), percent) * 1000)
                for percent in (50, 95, 99)
            }
            for stage, values in self._seconds.items()
        }


class Telemetry:
    """Statistics of a loop's actions, in constant memory."""

    def __init__(self, period: float) -> None:
        """Starts empty; an action that takes longer than `period` seconds is a miss."""
        self.period = period
        self.durations = Durations()
        self.actions = 0
        self.scheduling = NORMAL
        """Of the loop's threads, `fifo` or `normal`."""
        self.misses = 0
        """Actions after which the next began late."""
        self.states: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        """Number of actions with a fault, by component."""
        self._logged: tuple[str, ...] = ()
        self._errors: set[tuple[str, str, int | None]] = set()

    def add(self, status: Status) -> None:
        """Adds an action."""
        self._log(status.state, status.faults)
        self.actions += 1
        self.misses += status.seconds > self.period
        self.states[status.state] += 1
        self.faults.update({fault.component for fault in status.faults})
        self.durations.add("total", status.seconds)

    def report(self) -> dict[str, Any]:
        """Actions, misses, states, faults, and percentiles of each stage in milliseconds."""
        return {
            "actions": self.actions,
            "deadline_misses": self.misses,
            "period_ms": self.period * 1000,
            "scheduling": self.scheduling,
            "states": dict(self.states),
            "faults": dict(self.faults),
            "milliseconds": self.durations.summary(),
        }

    def log_traceback(self, error: BaseException) -> None:
        """Logs the traceback of an exception that the loop survives, once per kind.

        A kind is the type of the exception and the line that raised it. A `Fault` stands for the
        exception that caused it; without one it is an expected condition and has no traceback.
        """
        cause = error.__cause__ if isinstance(error, Fault) else error
        if cause is None:
            return
        frames = traceback.extract_tb(cause.__traceback__)
        file, line = (frames[-1].filename, frames[-1].lineno) if frames else ("", 0)
        kind = (type(cause).__name__, file, line)
        if kind not in self._errors:
            self._errors.add(kind)
            log.warning("action %d: first %s at %s:%s", self.actions, *kind, exc_info=cause)

    def _log(self, state: str, faults: tuple[Fault, ...]) -> None:
        """Logs faults when they begin, change or end, not in every action."""
        # The numbers in a message change from action to action.
        entry = (state, *(re.sub(r"[\d.]+", "", str(fault)) for fault in faults))
        if entry == self._logged:
            return
        if faults:
            log.warning("action %d: %s; %s", self.actions, "; ".join(map(str, faults)), state)
        elif self._logged:
            log.warning("action %d: %s again", self.actions, state)
        self._logged = entry
