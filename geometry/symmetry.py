"""The 24 rotations of a cube, which separate "the wrong face" from "slightly off"."""

import itertools

import numpy as np
from numpy.typing import ArrayLike

from opendactyl.geometry.rotation import Array, geodesic_angle, matrix_to_quat, quat_multiply


def _cube_rotations() -> Array:
    matrices = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            matrix = np.eye(3)[list(order)] * np.array(signs)[:, None]
            if np.linalg.det(matrix) > 0:
                matrices.append(matrix)
    quats = matrix_to_quat(np.stack(matrices))
    identity_first = np.argsort(-quats[:, 0], kind="stable")
    return quats[identity_first]


CUBE_ROTATIONS = _cube_rotations()
"""The rotations (24, 4) that map a bare cube onto itself; the first is the identity."""


def nearest_symmetry(estimate: ArrayLike, truth: ArrayLike) -> np.ndarray:
    """The index (...,) of the rotation s for which `truth * s` is nearest to `estimate`."""
    return np.argmin(_angles(estimate, truth), axis=-1)


def symmetric_angle(estimate: ArrayLike, truth: ArrayLike) -> Array:
    """The angle (...,) between orientations (..., 4) of a cube whose faces look alike, radians."""
    return np.min(_angles(estimate, truth), axis=-1)


def _angles(estimate: ArrayLike, truth: ArrayLike) -> Array:
    estimate, truth = np.asarray(estimate, dtype=float), np.asarray(truth, dtype=float)
    images = quat_multiply(truth[..., None, :], CUBE_ROTATIONS)
    return geodesic_angle(estimate[..., None, :], images)
