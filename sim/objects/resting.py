"""The orientations in which an object rests on a plane."""

from typing import NamedTuple

import numpy as np

from opendactyl.geometry.rotation import Array, matrix_to_quat
from opendactyl.geometry.transforms import transform_points
from opendactyl.sim.objects.points import hull_triangles
from opendactyl.sim.objects.spec import Angles, ObjectSpec

_SAME_PLANE = 1e-4
"""Facets whose normals and distances differ by less are one face (radians, metres)."""


class Rests(NamedTuple):
    """Faces of the convex hull on which an object is stable: N of them."""

    quaternions: Array
    """Orientations (N, 4) with the face downwards."""
    heights: Array
    """Heights (N,) of the object's origin above the plane, in metres."""
    weights: Array
    """Fractions (N,) of the directions from the centre of mass that meet the face."""


def rests(obj: ObjectSpec, hinges: Angles = ()) -> Rests:
    """The faces whose interior is below the centre of mass, at angles (H,) of the hinges."""
    centre = _centre_of_mass(obj, hinges)
    triangles = hull_triangles(obj.points_at(hinges)) - centre
    normals = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    planes = np.column_stack([normals, np.einsum("ti,ti->t", normals, triangles[:, 0])])
    face = np.unique(np.round(planes / _SAME_PLANE), axis=0, return_inverse=True)[1].ravel()
    quaternions, heights, weights = [], [], []
    for number in range(face.max() + 1):
        members = face == number
        normal, distance = normals[members].mean(axis=0), planes[members, 3].mean()
        normal /= np.linalg.norm(normal)
        if _holds(triangles[members], normal * distance, normal):
            quaternions.append(_downwards(normal))
            heights.append(distance + centre @ normal)
            weights.append(_solid_angle(triangles[members]))
    return Rests(np.array(quaternions), np.array(heights), np.array(weights) / np.sum(weights))


def _centre_of_mass(obj: ObjectSpec, hinges: Angles) -> Array:
    """The centre of mass (3,) of all bodies."""
    own = [np.zeros(3) if b.solid is None else b.solid.centre_of_mass for b in obj.bodies]
    mass = np.array([body.mass for body in obj.bodies])
    placed = [
        transform_points(pose, point[None])[0]
        for pose, point in zip(obj.poses(hinges), own, strict=True)
    ]
    return mass @ placed / mass.sum()


def _holds(triangles: Array, point: Array, normal: Array) -> bool:
    """Whether a point in the plane of triangles (T, 3, 3) is within one of them."""
    sides = np.roll(triangles, -1, axis=1) - triangles
    turns = np.cross(sides, point - triangles) @ normal
    return bool(np.any(np.all(turns >= -1e-12, axis=1)))


def _downwards(normal: Array) -> Array:
    """The smallest rotation that takes a direction to -z, as a quaternion (4,)."""
    across = np.cross(normal, [0.0, 0.0, -1.0])
    if np.linalg.norm(across) < 1e-9:
        return np.array([1.0, 0, 0, 0]) if normal[2] < 0 else np.array([0.0, 1, 0, 0])
    axis = across / np.linalg.norm(across)
    start = np.column_stack([normal, axis, np.cross(normal, axis)])
    down = np.array([0.0, 0.0, -1.0])
    end = np.column_stack([down, axis, np.cross(down, axis)])
    return matrix_to_quat(end @ start.T)


def _solid_angle(triangles: Array) -> float:
    """The solid angle of triangles (T, 3, 3), seen from the origin (Van Oosterom, Strackee)."""
    lengths = np.linalg.norm(triangles, axis=2)
    a, b, c = triangles.transpose(1, 0, 2)
    volume = np.abs(np.einsum("ti,ti->t", a, np.cross(b, c)))
    pairs = [np.einsum("ti,ti->t", p, q) for p, q in ((a, b), (b, c), (c, a))]
    scale = lengths.prod(axis=1) + pairs[0] * lengths[:, 2] + pairs[1] * lengths[:, 0]
    return float(2 * np.arctan2(volume, scale + pairs[2] * lengths[:, 1]).sum())
