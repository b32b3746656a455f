"""Visibility of mesh faces from given viewpoints, by point sampling."""

import functools

import numpy as np
from numpy.typing import NDArray

from opendactyl.geometry.rig import Rig
from opendactyl.geometry.transforms import invert_pose, transform_points
from opendactyl.sim.objects.points import sample_surface, sphere_directions

CELL = 1.5e-3
"""Cell width of the depth buffer in metres, at the distance of the mesh."""
DEPTH_TOLERANCE = 0.3
"""Depth behind the nearest point of a cell within which points are visible, in cell widths."""
POINTS = 300_000
"""Number of points sampled on a mesh."""
DISTANCE = 2.0
"""Distance in metres of the viewpoints around a mesh when no rig is given."""
JITTER, JITTER_ANGLE, SAMPLES = 0.01, np.deg2rad(4.0), 8
"""Assumed jitter of a rig's cameras, in metres along each axis and in radians, larger than in any
preset; and the number of sampled poses per camera."""

Viewpoint = tuple[tuple[tuple[float, ...], ...], float]
"""A camera pose in the frame of the mesh (4, 4), and the tangent of half the field of view."""


def visible_from_rig(rig: Rig, corners: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mask (F,) of the faces, with corners (F, 3, 3) in the hand frame, visible to the cameras.

    A camera may be displaced by up to `JITTER` along each axis and rotated by `JITTER_ANGLE`.
    """
    rng = np.random.default_rng(0)
    viewpoints = []
    for camera in rig.cameras:
        reach = np.maximum(camera.K[:2, 2], [camera.width, camera.height] - camera.K[:2, 2])
        half = np.arctan((reach / camera.K[[0, 1], [0, 1]]).max()) + JITTER_ANGLE
        for _ in range(SAMPLES):
            pose = invert_pose(camera.cam_from_hand)
            pose[:3, 3] += rng.uniform(-JITTER, JITTER, 3)
            viewpoints.append((_hashable(pose), float(np.tan(half))))
    return _visible(corners, tuple(viewpoints))


def visible_from_outside(corners: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mask (F,) of the faces, with corners (F, 3, 3), visible from viewpoints in all directions."""
    viewpoints = []
    for direction in sphere_directions():
        across = np.cross(direction, np.eye(3)[np.abs(direction).argmin()])
        across /= np.linalg.norm(across)
        pose = np.eye(4)
        pose[:3, :3] = np.stack([across, np.cross(direction, across), direction], axis=1)
        pose[:3, 3] = corners.mean(axis=(0, 1)) - DISTANCE * direction
        viewpoints.append((_hashable(pose), np.inf))
    return _visible(corners, tuple(viewpoints))


def _hashable(pose: NDArray[np.float64]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in pose.tolist())


def _visible(corners: NDArray[np.float64], viewpoints: tuple[Viewpoint, ...]) -> NDArray[np.bool_]:
    return np.frombuffer(_compute_visible(corners.tobytes(), viewpoints), dtype=bool)


@functools.cache  # renderers are opened repeatedly with the same hand
def _compute_visible(corners: bytes, viewpoints: tuple[Viewpoint, ...]) -> bytes:
    """Mask of the faces with a point that is not occluded from at least one viewpoint."""
    faces = np.frombuffer(corners).reshape(-1, 3, 3)
    points, face = _sample_points(faces)
    visible = np.zeros(len(faces), dtype=bool)
    for pose, tangent in viewpoints:
        in_camera = transform_points(invert_pose(pose), points)
        depth = in_camera[:, 2]
        in_view = depth > 0
        plane = in_camera[:, :2] / np.where(in_view, depth, 1.0)[:, None]
        in_view &= (np.abs(plane) < tangent).all(axis=1)
        if in_view.any():
            visible[face[in_view][_nearest(plane[in_view], depth[in_view])]] = True
    return visible.tobytes()


def _nearest(plane: NDArray[np.float64], depth: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mask (P,) of the nearest points in each cell, for points `plane` (P, 2) at unit depth."""
    cell = np.floor(plane * (np.median(depth) / CELL)).astype(np.int64)
    cell -= cell.min(axis=0)
    key = cell[:, 0] * (cell[:, 1].max() + 1) + cell[:, 1]
    nearest = np.full(key.max() + 1, np.inf)
    np.minimum.at(nearest, key, depth)
    return depth <= nearest[key] + DEPTH_TOLERANCE * CELL


def _sample_points(corners: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Points (P, 3) distributed evenly over faces (F, 3, 3), and the face index (P,) of each.

    Every face has at least one.
    """
    points, face = sample_surface(corners, POINTS)
    every_face = np.arange(len(corners))
    return np.concatenate([points, corners.mean(axis=1)]), np.concatenate([face, every_face])
