"""How long things take: percentiles over the last actions, at constant memory."""

from collections import defaultdict, deque

import numpy as np

KEPT = 10_000
"""Durations that are remembered per part."""


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
