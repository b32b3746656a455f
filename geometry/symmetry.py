"""Rotational symmetries of solids, and rotation errors modulo these symmetries."""

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
"""The 24 rotations (24, 4) that map a cube onto itself, identity first."""


def rotations_of(corners: ArrayLike) -> Array:
    """The rotations (S, 4) that map a solid's corners (K, 3) onto themselves, identity first."""
    corners = np.asarray(corners, dtype=float)
    tolerance = 1e-6 * np.abs(corners).max()
    # The images of two corners that are not collinear with the origin determine a rotation.
    a = corners[0]
    b = corners[np.argmax(np.linalg.norm(np.cross(a, corners), axis=-1))]
    frame = np.linalg.inv(np.stack([a, b, np.cross(a, b)], axis=-1))
    found = []
    for c, d in itertools.permutations(corners, 2):
        matrix = np.stack([c, d, np.cross(c, d)], axis=-1) @ frame
        moved = corners @ matrix.T
        gaps = np.linalg.norm(moved[:, None] - corners, axis=-1).min(axis=1)
        if np.allclose(matrix @ matrix.T, np.eye(3), atol=1e-6) and gaps.max() < tolerance:
            found.append(matrix)
    quats = matrix_to_quat(np.stack(found))
    return quats[np.argsort(-quats[:, 0], kind="stable")]


def nearest_symmetry(
    estimate: ArrayLike, truth: ArrayLike, rotations: Array = CUBE_ROTATIONS
) -> np.ndarray:
    """Index (...,) of the symmetry s that minimises the angle from `truth * s` to `estimate`."""
    return np.argmin(_angles(estimate, truth, rotations), axis=-1)


def symmetric_angle(
    estimate: ArrayLike, truth: ArrayLike, rotations: Array = CUBE_ROTATIONS
) -> Array:
    """The smallest angle (...,), over all symmetries, between orientations (..., 4), in radians."""
    return np.min(_angles(estimate, truth, rotations), axis=-1)


def _angles(estimate: ArrayLike, truth: ArrayLike, rotations: Array) -> Array:
    estimate, truth = np.asarray(estimate, dtype=float), np.asarray(truth, dtype=float)
    images = quat_multiply(truth[..., None, :], rotations)
    return geodesic_angle(estimate[..., None, :], images)
