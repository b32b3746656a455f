"""From a policy's logits to joint targets, in numpy alone; batched over B hands."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opendactyl.core.errors import InputError
from opendactyl.geometry.rotation import Array

BINS = 11
"""Bins of each action coordinate (D18 Table 10)."""
DECISIONS = ("mean", "likeliest")


@dataclass(frozen=True, kw_only=True)
class ActionConfig:
    """How the bins of an action become joint targets."""

    mode: str = "absolute"
    """`absolute`: a bin is a place in the actuator's range. `relative`: an offset from the present
    joint angle, of up to half the range (robogym's `robot_interface`), as in D18."""
    smoothing: float = 0.5
    """Share of the old target that each action keeps (D18 footnote 15 has 0.3)."""
    decision: str = "mean"
    """How a policy that learns no more acts, see `decide`."""

    def __post_init__(self) -> None:
        """Refuses what no hand could do."""
        if self.mode not in ("absolute", "relative"):
            raise InputError(f"action mode {self.mode!r} must be absolute or relative")
        if not 0.0 <= self.smoothing < 1.0:
            raise InputError(f"action smoothing {self.smoothing} must be in [0, 1)")
        if self.decision not in DECISIONS:
            raise InputError(f"action decision {self.decision!r} must be {' or '.join(DECISIONS)}")


def decide(logits: NDArray[np.floating[Any]], decision: str = "mean") -> Array:
    """Bins (..., 20), fractions among them, from a policy's logits (..., 20, 11).

    `mean` is the mean of the distribution over bins, `likeliest` its mode. Bins are places along
    one line, so that their mean is an action; while it learns a policy draws them, and smoothing
    averages what it draws. The mode of a flat distribution may lie far from both.
    """
    if decision == "likeliest":
        return logits.argmax(axis=-1).astype(np.float64)
    likelihood = np.exp(logits - logits.max(axis=-1, keepdims=True), dtype=np.float64)
    return (likelihood @ np.arange(BINS)) / likelihood.sum(axis=-1)


@dataclass(eq=False)
class ActionDecoder:
    """Turns bins (B, 20) into smoothed joint targets (B, 20) that never leave the range."""

    config: ActionConfig
    low: Array
    """Lower target limits (20,) in radians."""
    high: Array
    """Upper target limits (20,) in radians."""
    targets: Array = field(default_factory=lambda: np.zeros((0, 20)))
    """The present targets (B, 20) in radians."""

    def reset(self, actuated: Array, where: NDArray[np.bool_] | None = None) -> None:
        """Starts from the present angles (B, 20) of the actuated joints, where `where` says so."""
        start = np.clip(actuated, self.low, self.high)
        self.targets = start if where is None else np.where(where[:, None], start, self.targets)

    def decode(self, bins: NDArray[Any], actuated: Array) -> Array:
        """Moves the targets (B, 20) by one action.

        Args:
            bins: chosen bins (B, 20) from 0 to `BINS` - 1, fractions among them.
            actuated: present angles (B, 20) of the actuated joints, in radians.
        """
        unit = bins / ((BINS - 1) / 2) - 1.0
        half = (self.high - self.low) / 2
        centre = (self.high + self.low) / 2 if self.config.mode == "absolute" else actuated
        wish = np.clip(centre + unit * half, self.low, self.high)
        keep = self.config.smoothing
        self.targets = np.clip(keep * self.targets + (1 - keep) * wish, self.low, self.high)
        return self.targets

    @property
    def scaled_targets(self) -> Array:
        """The present targets (B, 20), scaled to [-1, 1] over their range."""
        return (self.targets - self.low) / (self.high - self.low) * 2 - 1

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able form for a bundle's manifest."""
        return {
            "mode": self.config.mode,
            "smoothing": self.config.smoothing,
            "bins": BINS,
            "decision": self.config.decision,
            "low": self.low.tolist(),
            "high": self.high.tolist(),
        }

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> "ActionDecoder":
        """The inverse of `to_dict`."""
        config = ActionConfig(
            mode=value["mode"],
            smoothing=value["smoothing"],
            # Bundles older than the choice were made for the likeliest.
            decision=value.get("decision", "likeliest"),
        )
        return cls(config, np.array(value["low"]), np.array(value["high"]))
