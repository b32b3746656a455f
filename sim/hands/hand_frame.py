"""The hand frame: fixed to the hand's mount, over the palm; x to the fingertips, z up."""

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

# The fingers of the unmoved MJCF point along world -y.
WORLD_FROM_HAND = np.array(
    [
        [0.0, 1.0, 0.0, 1.0],
        [-1.0, 0.0, 0.0, 0.87],
        [0.0, 0.0, 1.0, 0.17],
        [0.0, 0.0, 0.0, 1.0],
    ]
)
"""Hand frame to world frame (4, 4), in metres."""
HAND_FROM_WORLD = invert_pose(WORLD_FROM_HAND)
"""World frame to hand frame (4, 4), in metres."""

_QUAT_HAND_FROM_WORLD = matrix_to_quat(HAND_FROM_WORLD[:3, :3])


def to_hand(position: ArrayLike, quat: ArrayLike) -> tuple[Array, Array]:
    """World poses, positions (..., 3) and quaternions (..., 4), in the hand frame."""
    turned = quat_canonical(quat_multiply(_QUAT_HAND_FROM_WORLD, quat))
    return vectors_to_hand(position) + HAND_FROM_WORLD[:3, 3], turned


def to_world(position: ArrayLike, quat: ArrayLike) -> tuple[Array, Array]:
    """Hand-frame poses, positions (..., 3) and quaternions (..., 4), in the world frame."""
    moved = np.asarray(position, dtype=np.float64) @ WORLD_FROM_HAND[:3, :3].T
    turned = quat_canonical(quat_multiply(quat_conjugate(_QUAT_HAND_FROM_WORLD), quat))
    return moved + WORLD_FROM_HAND[:3, 3], turned


def points_to_hand(points: ArrayLike) -> Array:
    """World points (..., N, 3) in the hand frame."""
    return transform_points(HAND_FROM_WORLD, points)


def vectors_to_hand(vectors: ArrayLike) -> Array:
    """World directions or velocities (..., 3) in the hand frame."""
    return np.asarray(vectors, dtype=np.float64) @ HAND_FROM_WORLD[:3, :3].T
