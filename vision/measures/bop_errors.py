"""BOP's pose errors: maximum symmetry-aware surface distance and projection distance.

Hodaň et al., arXiv 2009.07378. The maxima are over the points of the object that a dataset stores:
the corners of a box or prism, for which they are exact, and the keypoints of other objects.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opendactyl.geometry.camera import Camera
from opendactyl.geometry.rig import Rig
from opendactyl.geometry.rotation import Array, quat_multiply, quat_rotate
from opendactyl.geometry.symmetry import SymmetryGroup
from opendactyl.vision.measures.predictions import Predictions

SPINS = 90
"""Number of rotations about an axis of revolution."""
SURFACE_LIMITS = np.arange(0.05, 0.51, 0.05)
"""Limits of MSSD for the average recall, in diameters of the object."""
PIXEL_LIMITS = np.arange(5, 51, 5)
"""Limits of MSPD for the average recall, in pixels of an image `IMAGE_WIDTH` wide."""
IMAGE_WIDTH = 640
"""Width of the images in whose pixels BOP states MSPD."""
_CHUNK = 256


def mssd(p: Predictions, points: Array, group: SymmetryGroup) -> Array:
    """The largest distance (N,) in metres of a point from its true position, for the best symmetry.

    Args:
        p: estimates and true poses.
        points: points of the object (K, 3), in metres.
        group: the object's symmetry.
    """
    return np.concatenate(
        [
            np.linalg.norm(placed[:, None] - true, axis=-1).max(axis=-1).min(axis=-1)
            for placed, true in _placed_points(p, points, group)
        ]
    )


def mspd(p: Predictions, points: Array, group: SymmetryGroup, rig: Rig | Sequence[Rig]) -> Array:
    """The largest distance (N, V) of a point from its true projection by the nominal cameras.

    As `mssd`, in pixels of the cameras' images. If the cameras differ between samples, `rig` is
    the rig of each.
    """
    rigs = itertools.repeat(rig) if isinstance(rig, Rig) else iter(rig)
    gaps = []
    for placed, true in _placed_points(p, points, group):
        chunk = zip(itertools.islice(rigs, len(placed)), range(len(placed)), strict=True)
        for cameras, pairs in itertools.groupby(chunk, key=lambda pair: pair[0]):
            some = [number for _, number in pairs]
            of_views = [_projection_gaps(c, placed[some], true[some]) for c in cameras.cameras]
            gaps.append(np.stack(of_views, axis=-1))
    return np.concatenate(gaps)


def _projection_gaps(camera: Camera, placed: Array, true: Array) -> Array:
    """The largest distance (n,) in pixels of a point, for the best symmetry."""
    gaps = camera.project(placed)[0][:, None] - camera.project(true)[0]
    gaps = np.nan_to_num(gaps, nan=np.inf)  # behind the camera
    return np.linalg.norm(gaps, axis=-1).max(axis=-1).min(axis=-1)


def average_recall(errors: NDArray[Any], limits: NDArray[Any]) -> float:
    """Mean over the limits of the fraction of errors below."""
    return float(np.mean(errors.reshape(-1, 1) < limits))


def _placed_points(
    p: Predictions, points: Array, group: SymmetryGroup
) -> Iterator[tuple[Array, Array]]:
    """Points by the estimates (n, K, 3) and by all equivalents of the true poses (n, S, K, 3)."""
    rotations = group.samples(SPINS)
    for start in range(0, len(p.position), _CHUNK):
        part = slice(start, start + _CHUNK)
        placed = quat_rotate(p.quaternion[part, None], points) + p.position[part, None]
        images = quat_multiply(p.true_quaternion[part, None], rotations)
        true = quat_rotate(images[:, :, None], points) + p.true_position[part, None, None]
        yield placed, true
