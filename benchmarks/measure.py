"""Comparison of two jobs: alternating, on the same cores, in one run."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Job = Callable[[], float]
"""Does a portion of work; returns the number of units."""
Task = Callable[[], None]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table."""

    name: str
    """`suite/what`."""
    ours: float
    """Our figure."""
    peer: float
    """The figure of the peer."""
    peer_name: str
    """Description of the peer."""
    unit: str
    """The unit of both figures."""
    lower_is_better: bool = False
    """Whether a smaller figure is better, as with latencies."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Further measurements; they join the row in the JSON file."""

    @property
    def ratio(self) -> float:
        """Above 1 when ours is better."""
        return self.peer / self.ours if self.lower_is_better else self.ours / self.peer

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able form."""
        return {
            "name": self.name,
            "ours": self.ours,
            "peer": self.peer,
            "peer_name": self.peer_name,
            "unit": self.unit,
            "ratio": self.ratio,
            **self.extra,
        }

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> "Row":
        """The row of a `to_dict`."""
        extra = dict(value)
        named = {key: extra.pop(key) for key in ("name", "ours", "peer", "peer_name", "unit")}
        lower = (named["ours"] < named["peer"]) == (extra.pop("ratio") > 1)
        return cls(**named, lower_is_better=lower, extra=extra)


class PartialResults:
    """What a suite has measured, by name, JSON-able; a resumed run does not repeat it."""

    def __init__(
        self, done: dict[str, Any] | None = None, save: Callable[[], None] = lambda: None
    ) -> None:
        """Continues from the results of an interrupted run.

        Args:
            done: its results, to which new ones are added.
            save: called after each new one.
        """
        self._done, self._save = {} if done is None else done, save

    def once(self, name: str, measure: Callable[[], Any]) -> Any:
        """The result of that name, which is measured if it is missing."""
        if name not in self._done:
            self._done[name] = measure()
            self._save()
        return self._done[name]

    def row(self, name: str, measure: Callable[[], Row]) -> Row:
        """The row of that name, which is measured if it is missing."""
        return Row.from_dict(self.once(name, lambda: measure().to_dict()))


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The measuring time of a suite."""

    seconds: float = 30.0
    """Measuring time for each side of a comparison."""
    full: bool = False
    """Measure the long curves as well."""
    bundle: Path | None = None
    """The bundle whose latency is measured; None stands for untrained networks."""
    realtime: str = "auto"
    """Scheduling of the loop whose latency is measured: auto or off."""
    partial: PartialResults = field(default_factory=PartialResults)
    """What an interrupted run of the suite has finished."""


def speed(job: Job, portions: int) -> float:
    """Units a second of a job over a number of portions."""
    began = time.perf_counter()
    units = sum(job() for _ in range(portions))
    return units / (time.perf_counter() - began)


def side_by_side(
    ours: Job, peer: Job, seconds: float, prepare: tuple[Task, Task] | None = None
) -> tuple[float, float]:
    """Units a second of two jobs, each run for `seconds`.

    They alternate, the one with less time first, so that both meet the same disturbances. The first
    portion of each is not counted, nor are the calls of `prepare` before each portion.
    """
    ready = prepare or (lambda: None, lambda: None)
    jobs, units, spent = (ours, peer), [0.0, 0.0], [0.0, 0.0]
    for before, job in zip(ready, jobs, strict=True):
        before()
        job()
    while min(spent) < seconds:
        number = 0 if spent[0] <= spent[1] else 1
        ready[number]()
        began = time.perf_counter()
        units[number] += jobs[number]()
        spent[number] += time.perf_counter() - began
    return units[0] / spent[0], units[1] / spent[1]
