"""Undistortion of images: where each pixel of a pinhole view lies in the raw image of the lens."""

import importlib.util

import numpy as np
from numpy.typing import NDArray

from opendactyl.geometry.camera import Camera

OUTSIDE = -1.0
"""Coordinate of a pixel that the lens does not see; it becomes black."""


def undistortion_map(camera: Camera, view: Camera | None = None) -> NDArray[np.float32]:
    """Raw pixel (H, W, 2) of each pixel centre of an undistorted view; pixel centres at +0.5.

    Args:
        camera: the camera with its lens, at the size of the raw image.
        view: a pinhole camera at the same place, such as the camera of the region of interest or
            a resized one; by default the whole undistorted view at the raw size.
    """
    view = camera if view is None else view
    u, v = np.meshgrid(np.arange(view.width) + 0.5, np.arange(view.height) + 0.5)
    # The matrices have no skew.
    x, y = (u - view.K[0, 2]) / view.K[0, 0], (v - view.K[1, 2]) / view.K[1, 1]
    points = np.stack([x, y], axis=-1)
    with np.errstate(all="ignore"):
        raw = camera.distorted(points * np.diag(camera.K)[:2] + camera.K[:2, 2])
    seen = np.linalg.norm(points, axis=-1) <= camera.distortion.max_radius
    # Far outside the image, float32 could not hold the coordinate.
    seen &= np.abs(raw).max(axis=-1) < 1e6
    return np.where(seen[..., None], raw, OUTSIDE).astype(np.float32)


def undistort_image(image: NDArray[np.uint8], raw_pixels: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Samples a raw image bilinearly at the pixels of `undistortion_map`; black outside of it.

    OpenCV does it where it is installed, numpy otherwise.

    Args:
        image: the raw image (H, W) or (H, W, C).
        raw_pixels: the map (h, w, 2).

    Returns:
        The image (h, w) or (h, w, C).
    """
    if importlib.util.find_spec("cv2") is None:
        return sample_numpy(image, raw_pixels)
    return sample_opencv(image, raw_pixels)


def sample_opencv(image: NDArray[np.uint8], raw_pixels: NDArray[np.float32]) -> NDArray[np.uint8]:
    """`undistort_image` by `cv2.remap`, whose pixel centres are at whole numbers."""
    import cv2

    at = raw_pixels - np.float32(0.5)
    sampled = cv2.remap(
        image, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT
    )
    return np.asarray(sampled, dtype=np.uint8).reshape(*at.shape[:2], *image.shape[2:])


def sample_numpy(image: NDArray[np.uint8], raw_pixels: NDArray[np.float32]) -> NDArray[np.uint8]:
    """`undistort_image` in numpy."""
    height, width = image.shape[:2]
    border = ((1, 1), (1, 1), *[(0, 0)] * (image.ndim - 2))
    padded = np.pad(image, border).astype(np.float32)
    # Indices into the padded image; all points outside of it fall on its black border.
    at = np.clip(raw_pixels + np.float32(0.5), 0.0, [width + 1 - 1e-3, height + 1 - 1e-3])
    low = np.floor(at).astype(np.intp)
    weight = (at - low).astype(np.float32).reshape(*at.shape, *[1] * (image.ndim - 2))
    column, row, right, down = low[..., 0], low[..., 1], weight[:, :, 0], weight[:, :, 1]
    upper = padded[row, column] * (1 - right) + padded[row, column + 1] * right
    lower = padded[row + 1, column] * (1 - right) + padded[row + 1, column + 1] * right
    return np.rint(upper * (1 - down) + lower * down).astype(np.uint8)
