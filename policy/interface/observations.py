"""The policy's observation, for training and for the run-time loop; needs numpy only.

All arrays are batched over B hands or simulations.
"""

from collections.abc import Sized
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from opendactyl.geometry.rotation import Array, quat_canonical, quat_conjugate, quat_multiply
from opendactyl.geometry.symmetry import CUBE_ROTATIONS, nearest_symmetry


class _Hand(Protocol):
    @property
    def joints(self) -> Sized: ...
    @property
    def actuators(self) -> Sized: ...
    @property
    def fingertips(self) -> Sized: ...


class HandSize(NamedTuple):
    """Numbers of a hand's joints, actuators and fingertips, and of the object's hinges."""

    joints: int
    actuators: int
    fingertips: int
    hinges: int = 0

    @classmethod
    def of(cls, hand: _Hand, hinges: int = 0) -> "HandSize":
        """Those of a hand's description, and the number of the object's hinges."""
        return cls(len(hand.joints), len(hand.actuators), len(hand.fingertips), hinges)


_DEFAULT = (
    "fingertips",
    "object_position",
    "object_quaternion",
    "goal_quaternion",
    "relative_goal",
    "previous_targets",
)
_CUBE_FIELDS = {"object_quaternion": "cube_quaternion", "goal_quaternion": "cube_goal_quaternion"}
"""Orientations of the object, and what they are if the faces of a cube look alike: of the object's
24 orientations the one nearest to the identity, and the goal turned by the same symmetry."""
LAYOUTS = {
    # D18 Table 2: object and goal orientation only as their difference.
    "d18": ("fingertips", "object_position", "relative_goal"),
    # D19 Table 12, and the last targets, since smoothed targets have memory.
    "default": _DEFAULT,
    "joints": (*_DEFAULT, "joints"),
    # The letters of a cube say nothing about its motion.
    "cube": tuple(_CUBE_FIELDS.get(name, name) for name in _DEFAULT),
    # Of the multi-stream action transformer: what an LSTM observes, then its physics stream.
    "physics": (*_DEFAULT, "touch", "forces"),
}
HINGE_FIELDS = ("hinges", "goal_hinges", "relative_hinges")
"""Cosines and sines of angles; they follow the fields of any layout if the object has hinges."""


def layout_fields(name: str, hand: HandSize) -> tuple[str, ...]:
    """The fields of a layout, a key of `LAYOUTS`, in order."""
    return LAYOUTS[name] + (HINGE_FIELDS if hand.hinges else ())


def critic_fields(policy: tuple[str, ...], hand: HandSize) -> tuple[str, ...]:
    """The fields of the critic: layout `joints`, of a cube's shape if the policy observes that."""
    fields = layout_fields("joints", hand)
    observed = set(policy)
    return tuple(new if (new := _CUBE_FIELDS.get(f, f)) in observed else f for f in fields)


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
    hinges: Array = field(default_factory=lambda: np.zeros((0, 0)))
    """Angles (B, H) of the object's hinges in radians; none of a rigid object."""


def field_sizes(hand: HandSize) -> dict[str, int]:
    """Sizes of all observation fields: quantities that a robot can measure or has commanded."""
    return {
        "fingertips": 3 * hand.fingertips,
        "object_position": 3,
        "object_quaternion": 4,
        "goal_quaternion": 4,
        **dict.fromkeys(_CUBE_FIELDS.values(), 4),
        "relative_goal": 4,
        "previous_targets": hand.actuators,
        "joints": hand.joints,
        "touch": hand.fingertips,
        "forces": hand.actuators,
        **dict.fromkeys(HINGE_FIELDS, 2 * hand.hinges),
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
        goal: goal orientations, and angles of hinges (B, 4 + H).
        previous_targets: the last joint targets (B, A), scaled to [-1, 1] over their range.
    """
    touch, forces = measured.touch, measured.forces
    if touch is None:
        touch = np.full(measured.fingertips.shape[:2], np.nan)
    if forces is None:
        forces = np.full(previous_targets.shape, np.nan)
    goal, goal_hinges = goal[:, :4], goal[:, 4:]
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
    if goal_hinges.size:
        angles = (measured.hinges, goal_hinges, goal_hinges - measured.hinges)
        directions = (np.concatenate([np.cos(a), np.sin(a)], axis=-1) for a in angles)
        values |= dict(zip(HINGE_FIELDS, directions, strict=True))
    if not set(layout).isdisjoint(_CUBE_FIELDS.values()):
        turn = CUBE_ROTATIONS[nearest_symmetry(CUBE_ROTATIONS[0], measured.object_quaternion)]
        for name, of_cube in _CUBE_FIELDS.items():
            values[of_cube] = quat_canonical(quat_multiply(values[name], turn))
    return np.concatenate([values[name] for name in layout], axis=-1, dtype=np.float32)
