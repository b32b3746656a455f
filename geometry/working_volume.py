"""The working volume: which cameras see it, and the region of interest that holds it."""

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from opendactyl.core.errors import InputError
from opendactyl.geometry.camera import Camera, Roi
from opendactyl.geometry.rig import Rig
from opendactyl.geometry.rotation import Array

ROI_MARGIN = 0.1
"""Default width of the border around the working volume, as a fraction of the region's side."""
_SAMPLES = 9
"""Points along each edge of the grid that stands for the volume."""
NEAREST = 1e-3
"""Smallest depth of a visible point in metres."""

Visibility = Literal["all", "part", "none"]


@dataclass(frozen=True)
class VolumeView:
    """How a camera sees the working volume."""

    visibility: Visibility
    """How much of the volume is in the observed part of the image; occlusion is not considered."""
    pixels_per_mm: float
    """Pixels per millimetre at the volume's centre; 0 behind the camera."""


def box_corners(low: ArrayLike, high: ArrayLike) -> Array:
    """Corners (8, 3) of the axis-aligned box between two points (3,); z varies fastest.

    Raises:
        InputError: the box is empty or not finite.
    """
    low, high = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    if not np.all(np.isfinite([low, high])) or np.any(high <= low):
        raise InputError(
            f"the working volume from {low.tolist()} to {high.tolist()} is empty; give its lower "
            "x y z, then its upper x y z, in metres"
        )
    return np.array([[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1])
                     for z in (low[2], high[2])])  # fmt: skip


def volume_view(camera: Camera, corners: ArrayLike) -> VolumeView:
    """How a camera sees the volume with the given corners (8, 3), in the order of `box_corners`."""
    points = _grid(corners)
    pixels, depth = camera.project(points)
    left, top, width, height = camera.roi or (0, 0, camera.width, camera.height)
    with np.errstate(all="ignore"):
        raw = camera.distorted(pixels)
    radius = np.linalg.norm((pixels - camera.K[:2, 2]) / np.diag(camera.K)[:2], axis=-1)
    seen = (
        (depth > NEAREST)
        & np.all((pixels >= [left, top]) & (pixels <= [left + width, top + height]), axis=-1)
        & np.all((raw >= 0) & (raw <= [camera.width, camera.height]), axis=-1)
        & (radius <= camera.distortion.max_radius)
    )
    visibility = "all" if seen.all() else "part" if seen.any() else "none"
    middle = camera.project(np.asarray(corners).mean(axis=0))[1]
    focal = math.sqrt(camera.K[0, 0] * camera.K[1, 1])
    scale = focal / float(middle) / 1000 if middle > NEAREST else 0.0
    return VolumeView(visibility, scale)


def automatic_roi(camera: Camera, corners: ArrayLike, margin: float = ROI_MARGIN) -> Roi:
    """The smallest square of whole pixels that holds the visible part of the working volume.

    The square lies inside the image where it fits, and is centred on the image along an axis that
    is shorter than its side.

    Args:
        camera: the camera; its own region of interest has no effect.
        corners: corners (8, 3) of the volume in the hand frame, in the order of `box_corners`.
        margin: width of the border around the volume, as a fraction of the square's side.

    Raises:
        InputError: the camera sees nothing of the volume, or the margin is not in [0, 0.5).
    """
    if not 0 <= margin < 0.5:
        raise InputError(f"the margin of a region of interest is {margin}; it must be in [0, 0.5)")
    frame = np.array([camera.width, camera.height])
    pixels, depth = camera.project(_grid(corners))
    pixels = np.clip(pixels[depth > NEAREST], 0, frame)
    low, high = (pixels.min(axis=0), pixels.max(axis=0)) if len(pixels) else (frame, frame)
    if np.any(high <= low):
        raise InputError(f"camera {camera.name!r} does not see the working volume")
    border = (high - low).max() * margin / (1 - 2 * margin)
    # A tolerance, so that a bound that is whole but for rounding does not enlarge the region.
    low = np.floor(np.maximum(low - border, 0) + 1e-6)
    high = np.ceil(np.minimum(high + border, frame) - 1e-6)
    side = int((high - low).max())
    corner = np.clip(np.rint((low + high - side) / 2), high - side, low)
    inside = np.clip(corner, 0, np.maximum(frame - side, 0))
    corner = np.where(side <= frame, inside, (frame - side) // 2)
    return (int(corner[0]), int(corner[1]), side, side)


def with_regions(rig: Rig, corners: ArrayLike) -> Rig:
    """The rig with automatic regions; cameras that have a region keep it."""
    cameras = (replace(camera, roi=region_of(camera, corners)[0]) for camera in rig.cameras)
    return Rig(rig.name, tuple(cameras))


def region_of(camera: Camera, corners: ArrayLike) -> tuple[Roi | None, bool]:
    """A camera's region of interest, and whether it was chosen from the volume; None: no view."""
    if camera.roi is not None:
        return camera.roi, False
    if volume_view(camera, corners).visibility == "none":
        return None, False
    return automatic_roi(camera, corners), True


def _grid(corners: ArrayLike) -> Array:
    """Points (N, 3) that fill the volume, its corners included."""
    corners = np.asarray(corners, dtype=np.float64)
    if corners.shape != (8, 3):
        raise ValueError(f"a volume has 8 corners (8, 3), got {corners.shape}")
    fraction = np.linspace(0.0, 1.0, _SAMPLES)
    x, y, z = (axis.ravel() for axis in np.meshgrid(fraction, fraction, fraction, indexing="ij"))
    weights = [
        (x if i & 4 else 1 - x) * (y if i & 2 else 1 - y) * (z if i & 1 else 1 - z)
        for i in range(8)
    ]
    return np.stack(weights, axis=-1) @ corners
