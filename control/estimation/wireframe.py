"""The edges of an object's convex hull, from its keypoints."""

import itertools

import numpy as np
from numpy.typing import ArrayLike, NDArray

from opendactyl.geometry.rotation import Array

MAX_POINTS = 64
"""Number of points, from the first, that are considered: all triples of them are."""
_TOLERANCE = 1e-3
"""Distance from a plane, relative to the object's size, at which a point lies in it."""


def convex_edges(points: ArrayLike) -> Array:
    """The ends (E, 2, 3) of the edges of the convex hull of points (N, 3)."""
    points = np.asarray(points, dtype=np.float64)[:MAX_POINTS]
    faces = _faces(points)
    edges = {
        tuple(sorted(ends))
        for a, b in itertools.combinations(faces, 2)
        if (ends := _ends(points, a & b)) is not None
    }
    return points[np.array(sorted(edges), dtype=int).reshape(-1, 2)]


def _faces(points: Array) -> list[NDArray[np.bool_]]:
    """The faces of the hull, as masks (N,) of the points in their planes."""
    tolerance = _TOLERANCE * np.ptp(points, axis=0).max()
    triples = np.array(list(itertools.combinations(range(len(points)), 3))).reshape(-1, 3)
    a, b, c = (points[triples[:, i]] for i in range(3))
    normals = np.cross(b - a, c - a)
    lengths = np.linalg.norm(normals, axis=1)
    # Triples that are nearly on a line have no plane.
    solid = lengths > tolerance**2
    normals = normals[solid] / lengths[solid, None]
    distances = normals @ points.T - np.sum(normals * a[solid], axis=1)[:, None]
    outer = np.all(distances <= tolerance, axis=1) | np.all(distances >= -tolerance, axis=1)
    return list(np.unique(np.abs(distances[outer]) <= tolerance, axis=0))


def _ends(points: Array, common: NDArray[np.bool_]) -> tuple[int, int] | None:
    """The outermost two of the points that two faces share; None if they share less than two."""
    indices = np.flatnonzero(common)
    if len(indices) < 2:
        return None
    along = points[indices] - points[indices[0]]
    position = along @ along[np.argmax(np.linalg.norm(along, axis=1))]
    return int(indices[position.argmin()]), int(indices[position.argmax()])
