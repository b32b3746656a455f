"""Rigid poses: 4×4 matrices, or a position (..., 3) and a quaternion (..., 4)."""

import numpy as np
from numpy.typing import ArrayLike

from opendactyl.geometry.rotation import Array, matrix_to_quat, quat_to_matrix


def pose_matrix(position: ArrayLike, quat: ArrayLike) -> Array:
    """Pose matrices (..., 4, 4) from positions (..., 3) and unit quaternions (..., 4)."""
    position, rotation = np.asarray(position, dtype=np.float64), quat_to_matrix(quat)
    shape = np.broadcast_shapes(position.shape[:-1], rotation.shape[:-2])
    pose = np.zeros((*shape, 4, 4))
    pose[..., :3, :3] = rotation
    pose[..., :3, 3] = position
    pose[..., 3, 3] = 1.0
    return pose


def pose_from_matrix(pose: ArrayLike) -> tuple[Array, Array]:
    """Positions (..., 3) and unit quaternions (..., 4) of pose matrices (..., 4, 4)."""
    pose = np.asarray(pose, dtype=np.float64)
    return pose[..., :3, 3].copy(), matrix_to_quat(pose[..., :3, :3])


def invert_pose(pose: ArrayLike) -> Array:
    """The inverse of rigid poses (..., 4, 4)."""
    pose = np.asarray(pose, dtype=np.float64)
    inverse = np.zeros_like(pose)
    rotation = np.swapaxes(pose[..., :3, :3], -1, -2)
    inverse[..., :3, :3] = rotation
    inverse[..., :3, 3] = -np.einsum("...ij,...j->...i", rotation, pose[..., :3, 3])
    inverse[..., 3, 3] = 1.0
    return inverse


def transform_points(pose: ArrayLike, points: ArrayLike) -> Array:
    """Applies poses (..., 4, 4) to points (..., N, 3)."""
    pose, points = np.asarray(pose, dtype=np.float64), np.asarray(points, dtype=np.float64)
    return points @ np.swapaxes(pose[..., :3, :3], -1, -2) + pose[..., None, :3, 3]
