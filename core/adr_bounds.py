"""Bounds of automatic domain randomization: buffers of scores, widening and narrowing (D19 5).

Each parameter is uniform between two bounds around its calibrated value. An episode is pinned to a
bound now and then; once a bound has enough scores, it moves outwards if they are good and inwards
if they are bad.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from opendactyl.core.errors import InputError

NARROWEST = 1e-3
"""Width that counts for a narrower parameter, so that the entropy is finite."""


class Bound(NamedTuple):
    """One end of the range of a parameter."""

    parameter: str
    end: str
    """`low` or `high`."""


@dataclass(frozen=True, kw_only=True)
class AdrSettings:
    """Constants of the algorithm; the defaults are D19's."""

    buffer: int = 240
    """Scores of a bound that decide on its next move (D19: m)."""
    widen: float = 20.0
    """Mean score from which a bound moves outwards (D19: t_H)."""
    narrow: float = 10.0
    """Mean score up to which a bound moves inwards (D19: t_L)."""
    step: float = 0.02
    """Distance by which a bound moves (D19: Δ)."""
    limit: float = 4.0
    """Largest distance of a bound from the calibrated value."""
    boundary_probability: float = 0.5
    """Fraction of the episodes that are pinned to a bound."""

    def __post_init__(self) -> None:
        """Raises an `InputError` for values that the algorithm cannot use."""
        if self.buffer < 1 or not 0 < self.step <= self.limit < math.inf:
            raise InputError(
                f"ADR needs a buffer of at least 1 and 0 < step <= limit, not {self.buffer}, "
                f"{self.step} and {self.limit}"
            )
        if not (self.narrow < self.widen and 0 <= self.boundary_probability <= 1):
            raise InputError(
                f"ADR needs narrow < widen and a probability of boundaries in [0, 1], not "
                f"{self.narrow}, {self.widen} and {self.boundary_probability}"
            )


class Snapshot(NamedTuple):
    """The bounds at one time, for those who sample episodes."""

    extents: dict[Bound, float]
    """Distance of each bound from the calibrated value."""
    versions: dict[Bound, int]
    """How often each bound has moved."""
    boundary_probability: float


@dataclass
class _State:
    extent: float = 0.0
    version: int = 0
    scores: list[float] = field(default_factory=list)


class AdrBounds:
    """The moving bounds of some parameters."""

    def __init__(self, parameters: Mapping[str, Sequence[str]], settings: AdrSettings) -> None:
        """Starts with ranges of zero width.

        Args:
            parameters: the ends of each parameter that move: `high`, or `low` and `high`.
            settings: constants of the algorithm.
        """
        self.settings = settings
        self._states = {
            Bound(parameter, end): _State()
            for parameter, ends in parameters.items()
            for end in ends
        }
        self._parameters = list(parameters)

    def snapshot(self) -> Snapshot:
        """The present bounds."""
        return Snapshot(
            {bound: state.extent for bound, state in self._states.items()},
            {bound: state.version for bound, state in self._states.items()},
            self.settings.boundary_probability,
        )

    def record(self, bound: Bound, version: int, score: float) -> bool:
        """Adds the score of an episode that was pinned to a bound; returns whether the bound moved.

        Scores of an older version of the bound are discarded: it has moved since.
        """
        state, settings = self._states[bound], self.settings
        if version != state.version:
            return False
        state.scores.append(float(score))
        if len(state.scores) < settings.buffer:
            return False
        mean = sum(state.scores) / len(state.scores)
        state.scores.clear()
        before = state.extent
        if mean >= settings.widen:
            state.extent = min(before + settings.step, settings.limit)
        elif mean <= settings.narrow:
            state.extent = max(before - settings.step, 0.0)
        moved = state.extent != before
        state.version += moved
        return moved

    @property
    def entropy(self) -> float:
        """Mean logarithm of the parameters' widths, in nats per dimension (D19 5.2)."""
        widths = dict.fromkeys(self._parameters, 0.0)
        for bound, state in self._states.items():
            widths[bound.parameter] += state.extent
        return sum(math.log(max(w, NARROWEST)) for w in widths.values()) / len(widths)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able form: extent, version and scores of each bound."""
        return {
            f"{bound.parameter}/{bound.end}": {
                "extent": state.extent,
                "version": state.version,
                "scores": list(state.scores),
            }
            for bound, state in self._states.items()
        }

    def load(self, value: Mapping[str, Any]) -> None:
        """Continues from the state of `to_dict`.

        Raises:
            InputError: it is the state of other parameters.
        """
        names = {f"{bound.parameter}/{bound.end}": bound for bound in self._states}
        if set(names) != set(value):
            other = ", ".join(sorted(set(names) ^ set(value)))
            raise InputError(
                f"the state of automatic domain randomization is of other parameters ({other}); "
                "start a new run"
            )
        for name, bound in names.items():
            saved = value[name]
            self._states[bound] = _State(saved["extent"], saved["version"], list(saved["scores"]))
