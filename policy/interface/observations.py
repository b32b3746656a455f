"""What a policy sees and does, in numpy alone: training and the run-time loop share it.

Everything is batched: B hands or simulations in front.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opendactyl.core.errors import InputError
from opendactyl.geometry.rotation import Array, quat_canonical, quat_conjugate, quat_multiply

BINS = 11
"""Bins of each action coordinate (D18 Table 10)."""
DECISIONS = ("mean", "likeliest")

FIELD_SIZES = {
    "fingertips": 15,
    "object_position": 3,
    "object_quaternion": 4,
    "goal_quaternion": 4,
    "relative_goal": 4,
    "previous_targets": 20,
    "joints": 24,
}
"""Everything a policy may see: no more than a robot could measure or remember."""

LAYOUTS = {
    # D18 Table 2: the orientation of object and goal only as their difference.
    "d18": ("fingertips", "object_position", "relative_goal"),
    # D19 Table 12, and what was commanded last, since smoothed targets have memory.
    "default": (
        "fingertips",
        "object_position",
        "object_quaternion",
        "goal_quaternion",
        "relative_goal",
        "previous_targets",
    ),
    "joints": (
        "fingertips",
        "object_position",
        "object_quaternion",
        "goal_quaternion",
        "relative_goal",
        "previous_targets",
        "joints",
    ),
}


@dataclass(frozen=True, eq=False)
class Measurement:
    """What is known about B hands at one moment, in the hand frame."""

    fingertips: Array
    """Fingertip positions (B, 5, 3) in metres."""
    object_position: Array
    """(B, 3) in metres."""
    object_quaternion: Array
    """(B, 4)."""
    joints: Array
    """Joint angles (B, 24) in radians."""


def layout_size(layout: tuple[str, ...]) -> int:
    """The length of an observation."""
    return sum(FIELD_SIZES[name] for name in layout)


def build_observation(
    layout: tuple[str, ...], seen: Measurement, goal: Array, previous_targets: Array
) -> NDArray[np.float32]:
    """The observation (B, n) of a policy.

    Args:
        layout: names of `FIELD_SIZES`, in order.
        seen: the measured hands and objects.
        goal: goal orientations (B, 4).
        previous_targets: the last joint targets (B, 20), scaled to [-1, 1] over their range.
    """
    relative = quat_multiply(goal, quat_conjugate(seen.object_quaternion))
    values = {
        "fingertips": seen.fingertips.reshape(len(goal), -1),
        "object_position": seen.object_position,
        "object_quaternion": seen.object_quaternion,
        "goal_quaternion": goal,
        "relative_goal": quat_canonical(relative),
        "previous_targets": previous_targets,
        "joints": seen.joints,
    }
    return np.concatenate([values[name] for name in layout], axis=-1, dtype=np.float32)


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
