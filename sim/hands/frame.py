"""The hand frame: fixed to the hand's mount, origin above the palm, x to the fingertips, z up."""

from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from opendactyl.geometry.rotation import (
    Array,
    matrix_to_quat,
    quat_canonical,
    quat_conjugate,
    quat_multiply,
)
from opendactyl.geometry.transforms import invert_pose, transform_points


class HandFrame:
    """The pose of the hand frame in the world, and conversions between the two."""

    def __init__(self, world_from_hand: ArrayLike) -> None:
        """Takes the transform (4, 4) from the hand frame to the world frame, in metres."""
        self.world_from_hand: Array = np.asarray(world_from_hand, dtype=np.float64)
        self.hand_from_world: Array = invert_pose(self.world_from_hand)
        """Transform (4, 4) from the world frame to the hand frame, in metres."""

    @cached_property
    def _quat_hand_from_world(self) -> Array:
        return matrix_to_quat(self.hand_from_world[:3, :3])

    def to_hand(self, position: ArrayLike, quat: ArrayLike) -> tuple[Array, Array]:
        """Transforms positions (..., 3) and quaternions (..., 4) from world to hand frame."""
        rotated = quat_canonical(quat_multiply(self._quat_hand_from_world, quat))
        return self.vectors_to_hand(position) + self.hand_from_world[:3, 3], rotated

    def to_world(self, position: ArrayLike, quat: ArrayLike) -> tuple[Array, Array]:
        """Transforms positions (..., 3) and quaternions (..., 4) from hand to world frame."""
        offset = np.asarray(position, dtype=np.float64) @ self.world_from_hand[:3, :3].T
        rotated = quat_multiply(quat_conjugate(self._quat_hand_from_world), quat)
        return offset + self.world_from_hand[:3, 3], quat_canonical(rotated)

    def points_to_hand(self, points: ArrayLike) -> Array:
        """Transforms points (..., N, 3) from the world to the hand frame."""
        return transform_points(self.hand_from_world, points)

    def vectors_to_hand(self, vectors: ArrayLike) -> Array:
        """Rotates directions or velocities (..., 3) from the world to the hand frame."""
        return np.asarray(vectors, dtype=np.float64) @ self.hand_from_world[:3, :3].T
