"""Which faces of a mesh can be seen from where."""

import functools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from opendactyl.geometry.rig import Rig
from opendactyl.geometry.transforms import invert_pose, transform_points

CELL = 1.5e-3
"""Width in metres, at a mesh's distance, of the cells whose nearest points are seen."""
DEPTH_SLACK = 0.3
"""How far behind the nearest point of a cell a point still counts as seen, in cells."""
POINTS = 300_000
"""Points spread over a mesh's faces."""
AROUND, DISTANCE = 48, 2.0
"""From how many sides a mesh is looked at when cameras may be anywhere, and from how far (m)."""
PLAY, PLAY_ANGLE, PLAYS = 0.01, np.deg2rad(4.0), 8
"""How far the cameras of a rig may stray, in metres along each axis and in radians, which is more
than any preset lets them; and from how many places within that a mesh is looked at."""

Eye = tuple[tuple[tuple[float, ...], ...], float]
"""A camera's pose in the frame of the mesh's points (4, 4), and the tangent of half its view."""


def seen_by(rig: Rig, corners: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which faces (F,) with corners (F, 3, 3) in the hand frame the rig's cameras may show.

    Every camera may be displaced by up to `PLAY` along each axis and turned by `PLAY_ANGLE`.
    """
    rng = np.random.default_rng(0)
    eyes = []
    for camera in rig.cameras:
        reach = np.maximum(camera.K[:2, 2], [camera.width, camera.height] - camera.K[:2, 2])
        half = np.arctan((reach / camera.K[[0, 1], [0, 1]]).max()) + PLAY_ANGLE
        for _ in range(PLAYS):
            pose = invert_pose(camera.cam_from_hand)
            pose[:3, 3] += rng.uniform(-PLAY, PLAY, 3)
            eyes.append((_hashable(pose), float(np.tan(half))))
    return _seen(corners, tuple(eyes))


def seen_from_outside(corners: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which faces (F,) with corners (F, 3, 3) can be seen from anywhere outside."""
    eyes = []
    for direction in _directions():
        across = np.cross(direction, np.eye(3)[np.abs(direction).argmin()])
        across /= np.linalg.norm(across)
        pose = np.eye(4)
        pose[:3, :3] = np.stack([across, np.cross(direction, across), direction], axis=1)
        pose[:3, 3] = corners.mean(axis=(0, 1)) - DISTANCE * direction
        eyes.append((_hashable(pose), np.inf))
    return _seen(corners, tuple(eyes))


def _hashable(pose: NDArray[np.float64]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in pose.tolist())


def _seen(corners: NDArray[np.float64], eyes: tuple[Eye, ...]) -> NDArray[np.bool_]:
    return np.frombuffer(_look(corners.tobytes(), eyes), dtype=bool)


@functools.cache
def _look(corners: bytes, eyes: tuple[Eye, ...]) -> bytes:
    """Which faces have a point in some eye's view that no other point of the mesh hides.

    Renderers are opened again and again with the same hand, so the answer is kept.
    """
    faces = np.frombuffer(corners).reshape(-1, 3, 3)
    points, face = _spread(faces)
    seen = np.zeros(len(faces), dtype=bool)
    for pose, tangent in eyes:
        inside = transform_points(invert_pose(pose), points)
        depth = inside[:, 2]
        ahead = depth > 0
        plane = inside[:, :2] / np.where(ahead, depth, 1.0)[:, None]
        ahead &= (np.abs(plane) < tangent).all(axis=1)
        if ahead.any():
            seen[face[ahead][_nearest(plane[ahead], depth[ahead])]] = True
    return seen.tobytes()


def _nearest(plane: NDArray[np.float64], depth: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which points (P,), seen at `plane` (P, 2) a metre away, are the first of their cell."""
    cell = np.floor(plane * (np.median(depth) / CELL)).astype(np.int64)
    cell -= cell.min(axis=0)
    key = cell[:, 0] * (cell[:, 1].max() + 1) + cell[:, 1]
    nearest = np.full(key.max() + 1, np.inf)
    np.minimum.at(nearest, key, depth)
    return depth <= nearest[key] + DEPTH_SLACK * CELL


def _spread(corners: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Points (P, 3) spread evenly over faces (F, 3, 3), one at least on each, and whose they are.

    Places in a face come from the R2 sequence (Roberts 2018), which leaves no gaps.
    """
    sides = corners[:, 1:] - corners[:, :1]
    share = np.cumsum(np.linalg.norm(np.cross(sides[:, 0], sides[:, 1]), axis=1))
    face = np.searchsorted(share, (np.arange(POINTS) + 0.5) / POINTS * share[-1])
    uv = np.arange(1, POINTS + 1)[:, None] * [0.7548776662466927, 0.5698402909980532] % 1
    outside = uv.sum(axis=1) > 1
    uv[outside] = 1 - uv[outside]
    points = corners[face, 0] + np.einsum("pk,pki->pi", uv, sides[face])
    everyone = np.arange(len(corners))
    return np.concatenate([points, corners.mean(axis=1)]), np.concatenate([face, everyone])


def _directions() -> Iterator[NDArray[np.float64]]:
    """Unit vectors (3,) spread evenly over the sphere, on a golden spiral."""
    number = np.arange(AROUND) + 0.5
    height, turn = 1 - 2 * number / AROUND, np.pi * (1 + np.sqrt(5)) * number
    radius = np.sqrt(1 - height**2)
    yield from np.stack([radius * np.cos(turn), radius * np.sin(turn), height], axis=1)
