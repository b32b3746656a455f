"""Undistortion of images: where each pixel of a pinhole view lies in the raw image of the lens."""

import importlib.util
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from opendactyl.geometry.camera import Camera

OUTSIDE = -1.0
"""Coordinate of a pixel that the lens does not see; it becomes black."""
LANES = 4
"""Channels that one 64-bit integer holds."""
ROUNDING = np.full(LANES, 128, np.uint16).view(np.uint64)[0]
"""Half of 256 in each lane. 255 · 256 + 128 fits into a lane of 16 bits."""


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


class Undistortion:
    """Samples raw images bilinearly at the pixels of a map; black outside of the image.

    OpenCV does it where it is installed, numpy otherwise, from a table that is computed once.
    """

    def __init__(self, raw_pixels: NDArray[np.float32], width: int, height: int) -> None:
        """Takes a map (h, w, 2) of `undistortion_map` for raw images of a size in pixels."""
        self._raw_pixels, self._size = raw_pixels, (width, height)

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Samples a raw image (H, W) or (H, W, C) to (h, w) or (h, w, C); C is at most 4."""
        if importlib.util.find_spec("cv2") is None:
            return self.sample_numpy(image)
        return self.sample_opencv(image)

    def sample_opencv(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Samples by `cv2.remap`."""
        import cv2

        at = self._opencv_map
        sampled = cv2.remap(
            image, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT
        )
        return np.asarray(sampled, dtype=np.uint8).reshape(*at.shape[:2], *image.shape[2:])

    def sample_numpy(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Samples in numpy: the channels of a pixel are 16-bit lanes of one integer."""
        width, height = self._size
        pixels = image.reshape(height, width, -1)
        lanes = np.zeros((height + 2, width + 2, LANES), np.uint16)
        for channel in range(pixels.shape[2]):
            lanes[1:-1, 1:-1, channel] = pixels[..., channel]
        packed = lanes.view(np.uint64).ravel()
        first, weights = self._table
        total = np.full(len(first), ROUNDING)
        for weight, offset in zip(weights, (0, 1, width + 2, width + 3), strict=True):
            total += packed[offset:][first] * weight
        sampled = (total.view(np.uint16) >> 8).astype(np.uint8).reshape(-1, LANES)
        # Channel by channel, which is several times faster than slicing all of them.
        channels = [sampled[:, channel] for channel in range(pixels.shape[2])]
        shape = (*self._raw_pixels.shape[:2], *image.shape[2:])
        return np.stack(channels, axis=-1).reshape(shape)

    @cached_property
    def _opencv_map(self) -> NDArray[np.float32]:
        return self._raw_pixels - np.float32(0.5)  # Its pixel centres are at whole numbers.

    @cached_property
    def _table(self) -> tuple[NDArray[np.intp], NDArray[np.uint64]]:
        """Upper left pixels (N,) in the image with a black border, and weights (4, N) in 1/256.

        The weights are those of positions rounded to 1/256 pixel.
        """
        width, height = self._size
        # All points outside of the image fall on its border.
        border = np.array([width + 1 - 1e-3, height + 1 - 1e-3])
        at = np.clip(self._raw_pixels.reshape(-1, 2) + 0.5, 0.0, border)
        low = np.floor(at).astype(np.intp)
        right, down = np.rint((at - low) * 256).astype(np.int64).T
        both = np.rint(right * down / 256).astype(np.int64)
        weights = np.stack([256 - right - down + both, right - both, down - both, both])
        return low[:, 1] * (width + 2) + low[:, 0], weights.astype(np.uint64)


def undistort_image(image: NDArray[np.uint8], raw_pixels: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Samples one raw image (H, W) or (H, W, C) at a map (h, w, 2); see `Undistortion`."""
    return Undistortion(raw_pixels, image.shape[1], image.shape[0])(image)
