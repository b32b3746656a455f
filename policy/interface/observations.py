"""The policy's observation, for training and for the run-time loop; needs numpy only.

All arrays are batched over B hands or simulations.
"""

from collections.abc import Sized
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from opendactyl.geometry.rotation import Array, quat_canonical, quat_conjugate, quat_multiply


class _Hand(Protocol):
    @property
    def joints(self) -> Sized: ...
    @property
    def actuators(self) -> Sized: ...
    @property
    def fingertips(self) -> Sized: ...


class HandSize(NamedTuple):
    """Numbers of a hand's joints, actuators and fingertips."""

    joints: int
    actuators: int
    fingertips: int

    @classmethod
    def of(cls, hand: _Hand) -> "HandSize":
        """Those of a hand's description."""
        return cls(len(hand.joints), len(hand.actuators), len(hand.fingertips))


LAYOUTS = {
    # D18 Table 2: object and goal orientation only as their difference.
    "d18": ("fingertips", "object_position", "relative_goal"),
    # D19 Table 12, and the last targets, since smoothed targets have memory.
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
    # Of the multi-stream action transformer: what an LSTM observes, then its physics stream.
    "physics": (
        "fingertips",
        "object_position",
        "object_quaternion",
        "goal_quaternion",
        "relative_goal",
        "previous_targets",
        "touch",
        "forces",
    ),
}


@dataclass(frozen=True, eq=False)
class Measurement:
    """Measurements of B hands at one time, in the hand frame."""

    fingertips: Array
    """Fingertip positions (B, F, 3) in metres."""
    object_position: Array
    """(B, 3) in metres."""
    object_quaternion: Array
    """(B, 4)."""
    joints: Array
    """Joint angles (B, J) in radians."""
    touch: Array | None = None
    """Contact forces (B, F) on the fingertips in N; None or NaN where they are not measured."""
    forces: Array | None = None
    """Forces or torques (B, A) of the actuators in N or N m, likewise."""


def field_sizes(hand: HandSize) -> dict[str, int]:
    """Sizes of all observation fields: quantities that a robot can measure or has commanded."""
    return {
        "fingertips": 3 * hand.fingertips,
        "object_position": 3,
        "object_quaternion": 4,
        "goal_quaternion": 4,
        "relative_goal": 4,
        "previous_targets": hand.actuators,
        "joints": hand.joints,
        "touch": hand.fingertips,
        "forces": hand.actuators,
    }


def layout_size(layout: tuple[str, ...], hand: HandSize) -> int:
    """The length of an observation of a hand."""
    sizes = field_sizes(hand)
    return sum(sizes[name] for name in layout)


def build_observation(
    layout: tuple[str, ...], measured: Measurement, goal: Array, previous_targets: Array
) -> NDArray[np.float32]:
    """Builds the observation (B, n) of a policy; NaN in `touch` and `forces`: not measured.

    Args:
        layout: keys of `field_sizes`, in order.
        measured: measurements of the hands and objects.
        goal: goal orientations (B, 4).
        previous_targets: the last joint targets (B, A), scaled to [-1, 1] over their range.
    """
    touch, forces = measured.touch, measured.forces
    if touch is None:
        touch = np.full(measured.fingertips.shape[:2], np.nan)
    if forces is None:
        forces = np.full(previous_targets.shape, np.nan)
    relative = quat_multiply(goal, quat_conjugate(measured.object_quaternion))
    values = {
        "fingertips": measured.fingertips.reshape(len(goal), -1),
        "object_position": measured.object_position,
        "object_quaternion": measured.object_quaternion,
        "goal_quaternion": goal,
        "relative_goal": quat_canonical(relative),
        "previous_targets": previous_targets,
        "joints": measured.joints,
        "touch": touch,
        "forces": forces,
    }
    return np.concatenate([values[name] for name in layout], axis=-1, dtype=np.float32)
