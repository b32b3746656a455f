"""Converts a policy's logits to joint targets, for B hands; needs numpy only."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opendactyl.core.errors import InputError
from opendactyl.geometry.rotation import Array

BINS = 11
"""Bins per action coordinate (D18 Table 10)."""
DECISIONS = ("mean", "likeliest")


@dataclass(frozen=True, kw_only=True)
class ActionConfig:
    """Conversion of action bins to joint targets."""

    mode: str = "absolute"
    """`absolute`: a bin is a position in the actuator's range. `relative`: an offset from the
    current joint angle, of up to half the range (robogym's `robot_interface`), as in D18."""
    smoothing: float = 0.5
    """Fraction of the previous target that each action keeps (D18 footnote 15: 0.3)."""
    decision: str = "mean"
    """How bins are chosen outside training, see `decide`."""

    def __post_init__(self) -> None:
        """Raises an `InputError` for invalid values."""
        if self.mode not in ("absolute", "relative"):
            raise InputError(f"action mode {self.mode!r} must be absolute or relative")
        if not 0.0 <= self.smoothing < 1.0:
            raise InputError(f"action smoothing {self.smoothing} must be in [0, 1)")
        if self.decision not in DECISIONS:
            raise InputError(f"action decision {self.decision!r} must be {' or '.join(DECISIONS)}")


def decide(logits: NDArray[np.floating[Any]], decision: str = "mean") -> Array:
    """Chooses bins (..., A), which may be fractional, from a policy's logits (..., A, 11).

    `mean` is the mean of the distribution over bins, `likeliest` its mode. Bins are ordered along
    the range, so their mean is an action as well, and close to the average of the sampled bins that
    smoothing makes in training. The mode of a flat distribution may be far from both.
    """
    if decision == "likeliest":
        return logits.argmax(axis=-1).astype(np.float64)
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True), dtype=np.float64)
    return (weights @ np.arange(BINS)) / weights.sum(axis=-1)


@dataclass(eq=False)
class ActionDecoder:
    """Converts bins (B, A) to smoothed joint targets (B, A) within the actuators' range."""

    config: ActionConfig
    low: Array
    """Lower target limits (A,) in radians."""
    high: Array
    """Upper target limits (A,) in radians."""
    targets: Array = field(default_factory=lambda: np.zeros((0, 0)))
    """The current targets (B, A) in radians."""

    def reset(self, actuated: Array, where: NDArray[np.bool_] | None = None) -> None:
        """Sets the targets to the angles (B, A) of the actuated joints, in the hands `where`."""
        start = np.clip(actuated, self.low, self.high)
        self.targets = start if where is None else np.where(where[:, None], start, self.targets)

    def decode(self, bins: NDArray[Any], actuated: Array) -> Array:
        """Updates the targets (B, A) by one action.

        Args:
            bins: chosen bins (B, A) from 0 to `BINS` - 1, possibly fractional.
            actuated: current angles (B, A) of the actuated joints, in radians.
        """
        unit = bins / ((BINS - 1) / 2) - 1.0
        half = (self.high - self.low) / 2
        centre = (self.high + self.low) / 2 if self.config.mode == "absolute" else actuated
        target = np.clip(centre + unit * half, self.low, self.high)
        keep = self.config.smoothing
        self.targets = np.clip(keep * self.targets + (1 - keep) * target, self.low, self.high)
        return self.targets

    @property
    def scaled_targets(self) -> Array:
        """The current targets (B, A), scaled to [-1, 1] over their range."""
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
            # Older bundles do not store it and were made for the mode.
            decision=value.get("decision", "likeliest"),
        )
        return cls(config, np.array(value["low"]), np.array(value["high"]))
