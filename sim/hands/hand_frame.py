"""The hand frame: fixed to the hand's mount, origin above the palm, x to the fingertips, z up."""

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

# In the MJCF the fingers point along world -y.
WORLD_FROM_HAND = np.array(
    [
        [0.0, 1.0, 0.0, 1.0],
        [-1.0, 0.0, 0.0, 0.87],
        [0.0, 0.0, 1.0, 0.17],
        [0.0, 0.0, 0.0, 1.0],
    ]
)
"""Transform (4, 4) from the hand frame to the world frame, in metres."""
HAND_FROM_WORLD = invert_pose(WORLD_FROM_HAND)
"""Transform (4, 4) from the world frame to the hand frame, in metres."""

_QUAT_HAND_FROM_WORLD = matrix_to_quat(HAND_FROM_WORLD[:3, :3])


def to_hand(position: ArrayLike, quat: ArrayLike) -> tuple[Array, Array]:
    """Transforms positions (..., 3) and quaternions (..., 4) from the world to the hand frame."""
    rotated = quat_canonical(quat_multiply(_QUAT_HAND_FROM_WORLD, quat))
    return vectors_to_hand(position) + HAND_FROM_WORLD[:3, 3], rotated


def to_world(position: ArrayLike, quat: ArrayLike) -> tuple[Array, Array]:
    """Transforms positions (..., 3) and quaternions (..., 4) from the hand to the world frame."""
    offset = np.asarray(position, dtype=np.float64) @ WORLD_FROM_HAND[:3, :3].T
    rotated = quat_canonical(quat_multiply(quat_conjugate(_QUAT_HAND_FROM_WORLD), quat))
    return offset + WORLD_FROM_HAND[:3, 3], rotated


def points_to_hand(points: ArrayLike) -> Array:
    """Transforms points (..., N, 3) from the world to the hand frame."""
    return transform_points(HAND_FROM_WORLD, points)


def vectors_to_hand(vectors: ArrayLike) -> Array:
    """Rotates directions or velocities (..., 3) from the world to the hand frame."""
    return np.asarray(vectors, dtype=np.float64) @ HAND_FROM_WORLD[:3, :3].T
