"""The library of motions in recorded tracks, from which new demonstrations are composed.

A motion leads from one waypoint to the next. Expressed relative to its start, rotated so that its
goal lies where another action's goal lies, and followed by others, it makes a demonstration of any
program from any start, with the rests, slips and detours of the recorded one.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from opendactyl.geometry.rotation import (
    Array,
    geodesic_angle,
    quat_canonical,
    quat_conjugate,
    quat_from_axis_angle,
    quat_multiply,
    quat_to_rotvec,
    rotvec_to_quat,
)
from opendactyl.policy.imitation.predicate import HOLD, TOLERANCE
from opendactyl.policy.imitation.tracks import Track
from opendactyl.policy.interface.keyframes import surroundings

CANDIDATES = 12
"""Motions of which the one with the most similar angle to its goal is taken."""
_TINY = 1e-6


class Motions:
    """The motions of tracks."""

    def __init__(self, tracks: Sequence[Track]) -> None:
        """Cuts tracks at their waypoints."""
        paths, rotations, arounds = [], [], []
        for track in tracks:
            around = surroundings(track.quaternions)
            for number, action in enumerate(track.program.actions):
                first, last = track.waypoints[number], track.waypoints[number + 1]
                goal = action.goal(track.quaternions[track.waypoints[: number + 1]])
                start = quat_conjugate(track.quaternions[first])
                paths.append(quat_multiply(track.quaternions[first + 1 : last + 1], start))
                rotations.append(quat_to_rotvec(quat_multiply(goal, start)))
                arounds.append(around[first + 1 : last + 1])
        self.lengths = np.array([len(path) for path in paths])
        """Frames of each motion (S,)."""
        self.rests = np.array([_rest(*pair) for pair in zip(paths, rotations, strict=True)])
        """The frame of each from which the object stays about its goal (S,)."""
        self._paths = _padded(paths)
        self._around = _padded(arounds)
        self._rotations = np.array(rotations)
        self._angles = np.linalg.norm(self._rotations, axis=-1)

    def choose(self, rotation: Array, rng: np.random.Generator) -> NDArray[np.int64]:
        """Motions (B,) whose rotation to their goal has about the angle of `rotation` (B, 3)."""
        candidates = rng.integers(len(self.lengths), size=(len(rotation), CANDIDATES))
        angle = np.linalg.norm(rotation, axis=-1)[:, None]
        best = np.abs(self._angles[candidates] - angle).argmin(axis=1)
        return candidates[np.arange(len(rotation)), best]

    def poses(
        self, chosen: NDArray[np.int64], rotation: Array, frames: NDArray[np.int64]
    ) -> tuple[Array, Array]:
        """Frames of motions, rotated so that they lead to another goal.

        Args:
            chosen: the motions (B,).
            rotation: rotation vectors (B, 3) from the start to the new goal, hand frame.
            frames: the frames (B, M) wanted of each.

        Returns:
            Rotations (B, M, 4) from the start, and the `surroundings` (B, M, 4) of the frames.
        """
        frames = np.clip(frames, 0, self.lengths[chosen][:, None] - 1)
        path = self._paths[chosen[:, None], frames]
        angle, wanted = self._angles[chosen], np.linalg.norm(rotation, axis=-1)
        own = self._rotations[chosen] / np.maximum(angle, _TINY)[:, None]
        # A goal where the object lies has no direction: that of the motion will do.
        still = (wanted < _TINY)[:, None]
        axis = np.where(still, own, rotation / np.maximum(wanted, _TINY)[:, None])
        align = _between(own, axis)[:, None]
        path = quat_multiply(quat_multiply(align, path), quat_conjugate(align))
        # What is missing to the new goal's angle is added in the course of the motion.
        old_goal = quat_from_axis_angle(axis, angle)[:, None]
        left = geodesic_angle(path, old_goal) / np.maximum(angle, 0.3)[:, None]
        part = np.clip(1 - left, 0.0, 1.0) * (wanted - angle)[:, None]
        path = quat_multiply(path, rotvec_to_quat(part[..., None] * axis[:, None]))
        return quat_canonical(path), self._around[chosen[:, None], frames]


def _rest(path: Array, rotation: Array) -> int:
    """The frame of a path (T, 4) at which it has first been held at its goal, or its last."""
    near = geodesic_angle(path, rotvec_to_quat(rotation)) < TOLERANCE
    held = np.convolve(near, np.ones(HOLD), "valid") == HOLD
    return int(held.argmax()) if held.any() else len(path) - 1


def _between(a: Array, b: Array) -> Array:
    """The smallest rotations (B, 4) of unit vectors `a` (B, 3) to `b` (B, 3)."""
    cross = np.cross(a, b)
    opposite = np.linalg.norm(cross, axis=-1) < _TINY
    # Any axis at a right angle serves for opposite directions.
    other = np.cross(a, np.where(np.abs(a[:, :1]) < 0.9, [[1.0, 0, 0]], [[0, 1.0, 0]]))
    cross = np.where(opposite[:, None], other, cross)
    return quat_from_axis_angle(cross, np.arccos(np.clip((a * b).sum(axis=-1), -1.0, 1.0)))


def _padded(rows: list[Array]) -> Array:
    """Arrays (T, C) of different lengths as one (S, max T, C), ended by their last frames."""
    longest = max(len(row) for row in rows)
    return np.stack([np.pad(row, ((0, longest - len(row)), (0, 0)), "edge") for row in rows])
