"""Automatic domain randomization of body and actuation (D19 section 5).

Groups of `groups.GROUPS` are the parameters. Their extents are in units of the ranges of a base
configuration: at 1 the ranges are the base's. Measurements are randomized as in the base.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from opendactyl.core.adr_bounds import AdrBounds, AdrSettings, Bound, Snapshot
from opendactyl.policy.randomization.config import AUTOMATIC, RandomizationConfig, Range
from opendactyl.policy.randomization.groups import GROUPS

FACTORS = {name: GROUPS[name] for name in ("size", "mass", "friction", "damping", "gains")}
"""Fields of the groups of factors, which have two bounds."""
LEVELS = {name: GROUPS[name] for name in ("gravity", "limits", "timing", "action-noise", "delay")}
LEVELS |= {"backlash": ("backlash_scale",), "pushes": ("force_chance",)}
"""Fields of the groups that grow from nothing, which have one bound."""
PARAMETERS = dict.fromkeys(FACTORS, ("low", "high")) | dict.fromkeys(LEVELS, ("high",))


@dataclass(frozen=True, kw_only=True)
class PolicyAdr(AdrSettings):
    """Constants of the algorithm for a policy."""

    score_actions: int = 0
    """Actions at the beginning of an episode whose goals are the score; 0 takes the whole
    episode."""


_AFFORDABLE = PolicyAdr(buffer=24, widen=3.0, narrow=1.5, step=0.05, score_actions=200)
ADR_PRESETS = dict(zip(AUTOMATIC, (_AFFORDABLE, PolicyAdr()), strict=True))
"""`adr` is what a few cores can afford: the goals in the first 16 s, a tenth of the scores, and
larger steps. `adr-d19` has D19's constants (Table 18)."""


class Boundary(NamedTuple):
    """The bound that an episode is pinned to, and the bound's version."""

    bound: Bound
    version: int


def new_bounds(settings: PolicyAdr) -> AdrBounds:
    """Bounds of zero width."""
    return AdrBounds(PARAMETERS, settings)


def sample_ranges(
    rng: np.random.Generator, base: RandomizationConfig, bounds: Snapshot
) -> tuple[RandomizationConfig, Boundary | None]:
    """The ranges of one episode, and the bound that it is pinned to, if any.

    The level of a group with one bound is uniform below it.
    """
    pinned, levels = rng.random(), rng.random(len(LEVELS)).tolist()
    chosen = list(bounds.extents)[rng.integers(len(bounds.extents))]
    low = {g: bounds.extents[Bound(g, "low")] for g in FACTORS}
    high = {g: bounds.extents[Bound(g, "high")] for g in PARAMETERS}
    for group, level in zip(LEVELS, levels, strict=True):
        high[group] *= level
    if pinned >= bounds.boundary_probability:
        return ranges_at(base, low, high), None
    extent = bounds.extents[chosen]
    if chosen.end == "low":
        low[chosen.parameter], high[chosen.parameter] = extent, -extent
    else:
        high[chosen.parameter] = extent
        if chosen.parameter in FACTORS:
            low[chosen.parameter] = -extent
    return ranges_at(base, low, high), Boundary(chosen, bounds.versions[chosen])


def ranges_at(
    base: RandomizationConfig, low: dict[str, float], high: dict[str, float]
) -> RandomizationConfig:
    """The ranges for some extents; a negative extent lies on the other side of 1.

    Args:
        base: the configuration whose ranges have extent 1.
        low: extent of each group of `FACTORS` downwards.
        high: extent of each group upwards.
    """
    values: dict[str, Any] = {}
    for group, fields in FACTORS.items():
        for name in fields:
            values[name] = _factors(getattr(base, name), low[group], high[group])
    for group, fields in LEVELS.items():
        for name in fields:
            values[name] = _level(name, getattr(base, name), high[group])
    return dataclasses.replace(base, **values)


def full_ranges(base: RandomizationConfig, bounds: Snapshot) -> RandomizationConfig:
    """The ranges that the bounds span."""
    low = {g: bounds.extents[Bound(g, "low")] for g in FACTORS}
    return ranges_at(base, low, {g: bounds.extents[Bound(g, "high")] for g in PARAMETERS})


def _factors(base: Range, low: float, high: float) -> Range:
    """Factors from base[0] ** low to base[1] ** high; a negative extent mirrors the other end."""
    first = base[0] ** low if low >= 0 else base[1] ** -low
    last = base[1] ** high if high >= 0 else base[0] ** -high
    return (first, last)


def _level(name: str, base: Any, level: float) -> Any:
    """A level of noise, a probability or a rate."""
    if name == "timestep_rate":  # the time that is added is the inverse
        return (base[0] / level, base[1] / level) if level > 0 else (0.0, 0.0)
    if isinstance(base, tuple):
        return tuple(min(value * level, 1.0) for value in base) if level > 0 else (0.0, 0.0)
    return min(base * level, 1.0) if name == "action_delay" else base * level
