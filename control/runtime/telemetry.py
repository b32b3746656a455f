"""What a loop did: counts and durations of its actions, and a word in the log at each change."""

import logging
import re
from collections import Counter, defaultdict, deque
from dataclasses import dataclass
from typing import Any

import numpy as np

from opendactyl.control.runtime.interfaces import Fault
from opendactyl.geometry.rotation import Array

log = logging.getLogger(__name__)

KEPT = 10_000
"""Durations that are remembered per part."""

ACTING, COASTING, HOLDING = "acting", "coasting", "holding"
"""On a fresh pose; on the last good one; not moving the hand."""


@dataclass(frozen=True, eq=False)
class Status:
    """What one action brought."""

    number: int
    """Actions before this one."""
    state: str
    """`acting`, `coasting` or `holding`."""
    faults: tuple[Fault, ...]
    """What went wrong."""
    position: Array
    """The last good position (3,) of the object, in metres, in the hand frame."""
    quaternion: Array
    """The last good orientation (4,)."""
    goal: Array | None
    """The goal (4,); None before the first."""
    targets: Array | None
    """What the hand was sent (20,), in radians; None before it first answered."""
    seconds: float
    """How long the action took."""


class Durations:
    """Seconds that each part of an action took."""

    def __init__(self) -> None:
        """Starts empty."""
        self._parts: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=KEPT))

    def add(self, part: str, seconds: float) -> None:
        """Remembers one duration."""
        self._parts[part].append(seconds)

    def summary(self) -> dict[str, dict[str, float]]:
        """Per part: p50, p95 and p99 in milliseconds, over the last `KEPT` durations."""
        return {
            part: {
                f"p{share}": float(np.percentile(np.array(values), share) * 1000)
                for share in (50, 95, 99)
            }
            for part, values in self._parts.items()
        }


class Telemetry:
    """Keeps count of a loop's actions, at constant memory."""

    def __init__(self, period: float) -> None:
        """Starts empty; an action that takes longer than `period` seconds is a miss."""
        self.period = period
        self.durations = Durations()
        self.actions = 0
        self.misses = 0
        """Actions after which the next began late."""
        self.states: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        """Actions with a fault, by the part that had it."""
        self._said: tuple[str, ...] = ()

    def add(self, status: Status) -> None:
        """Enters an action."""
        self._log(status.state, status.faults)
        self.actions += 1
        self.misses += status.seconds > self.period
        self.states[status.state] += 1
        self.faults.update({fault.part for fault in status.faults})
        self.durations.add("total", status.seconds)

    def report(self) -> dict[str, Any]:
        """Actions, misses, states, faults, and percentiles of each part in milliseconds."""
        return {
            "actions": self.actions,
            "deadline_misses": self.misses,
            "period_ms": self.period * 1000,
            "states": dict(self.states),
            "faults": dict(self.faults),
            "milliseconds": self.durations.summary(),
        }

    def _log(self, state: str, faults: tuple[Fault, ...]) -> None:
        """Says what happened when it begins and when it ends, not at every action."""
        # Figures change from action to action; what they say does not.
        said = (state, *(re.sub(r"[\d.]+", "", str(fault)) for fault in faults))
        if said == self._said:
            return
        if faults:
            log.warning("action %d: %s; %s", self.actions, "; ".join(map(str, faults)), state)
        elif self._said:
            log.warning("action %d: %s again", self.actions, state)
        self._said = said
