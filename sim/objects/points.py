"""Points on a surface: samples, keypoints, distances and supporting planes. Deterministic."""

import numpy as np
from numpy.typing import NDArray

from opendactyl.geometry.rotation import Array

CANDIDATES = 4000
"""Number of points from which keypoints are chosen."""
DIRECTIONS = 48
"""Directions that cover the sphere: of planes that enclose an object, and of viewpoints."""


def sample_surface(triangles: Array, count: int) -> tuple[Array, NDArray[np.intp]]:
    """Points (N, 3) spread evenly over triangles (T, 3, 3), and the triangle (N,) of each.

    Positions within triangles are a low-discrepancy sequence (R2, Roberts 2018).
    """
    sides = triangles[:, 1:] - triangles[:, :1]
    area = np.cumsum(np.linalg.norm(np.cross(sides[:, 0], sides[:, 1]), axis=1))
    which = np.searchsorted(area, (np.arange(count) + 0.5) / count * area[-1])
    uv = np.arange(1, count + 1)[:, None] * [0.7548776662466927, 0.5698402909980532] % 1
    outside = uv.sum(axis=1) > 1
    uv[outside] = 1 - uv[outside]
    return triangles[which, 0] + np.einsum("pk,pki->pi", uv, sides[which]), which


def farthest_points(triangles: Array, count: int) -> Array:
    """Keypoints (K, 3): each is the point of the surface that is farthest from those before.

    The first is the farthest from the centre of the surface. Ties are resolved by order, and
    distances are compared to a micrometre so that rounding does not resolve them.
    """
    sampled, _ = sample_surface(triangles, CANDIDATES)
    vertices = triangles.reshape(-1, 3)
    step = max(len(vertices) // CANDIDATES, 1)
    points = np.concatenate([vertices[::step], sampled])
    distance = np.linalg.norm(points - sampled.mean(axis=0), axis=1)
    chosen = []
    for number in range(count):
        best = int(np.argmax(np.round(distance, 6)))
        chosen.append(points[best])
        away = np.linalg.norm(points - points[best], axis=1)
        distance = away if number == 0 else np.minimum(distance, away)
    return np.stack(chosen)


def distances_to_surface(points: Array, triangles: Array) -> Array:
    """Distances (N,) from points (N, 3) to the nearest of the triangles (T, 3, 3)."""
    from scipy.spatial import KDTree
    from trimesh.triangles import closest_point

    samples, which = sample_surface(triangles, 20_000)
    samples = np.concatenate([samples, triangles.reshape(-1, 3)])
    which = np.concatenate([which, np.repeat(np.arange(len(triangles)), 3)])
    _, found = KDTree(samples).query(points, k=min(12, len(samples)))
    near = np.asarray(found).reshape(len(points), -1)
    candidates = triangles[which[near].ravel()]
    repeated = np.repeat(points, near.shape[1], axis=0)
    gaps = np.linalg.norm(closest_point(candidates, repeated) - repeated, axis=1)
    return gaps.reshape(near.shape).min(axis=1)


def hull_triangles(points: Array) -> Array:
    """The triangles (T, 3, 3) of the convex hull of points (N, 3), counter-clockwise outside."""
    from scipy.spatial import ConvexHull

    hull = ConvexHull(points)
    triangles = points[hull.simplices]
    normals = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    inward = np.einsum("ti,ti->t", normals, hull.equations[:, :3]) < 0
    triangles[inward] = triangles[inward][:, [0, 2, 1]]
    return triangles


def sphere_directions() -> Array:
    """Unit vectors (DIRECTIONS, 3) distributed evenly over the sphere, on a golden spiral."""
    number = np.arange(DIRECTIONS) + 0.5
    height, angle = 1 - 2 * number / DIRECTIONS, np.pi * (1 + np.sqrt(5)) * number
    radius = np.sqrt(1 - height**2)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), height], axis=1)


def enclosing_planes(points: Array) -> list[tuple[Array, float]]:
    """Planes that enclose points (N, 3): outward normals and distances from the origin."""
    normals = np.concatenate([np.eye(3), -np.eye(3), sphere_directions()])
    return [(normal, float((points @ normal).max())) for normal in normals]
