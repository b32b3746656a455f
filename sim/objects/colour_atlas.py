"""Colours at the corners of triangles as a texture, which is what MuJoCo draws.

Each triangle has a cell of 2 × 2 texels whose bilinear interpolation is that between its corners.
Cells follow a space-filling curve, so that cells which are neighbours in the texture are neighbours
on the object: reduced in size (mipmaps), the texture shows the mean colour of a region.
"""

import numpy as np
from numpy.typing import NDArray

from opendactyl.geometry.rotation import Array

_BITS = 10


def atlas(corners: Array, colours: Array) -> tuple[NDArray[np.uint8], Array, NDArray[np.int64]]:
    """A texture with a cell for each triangle.

    Args:
        corners: the triangles (T, 3, 3).
        colours: sRGB in [0, 1] at their corners (T, 3, 3).

    Returns:
        The texture (H, W, 3), texture coordinates (3 T, 2), and their indices (T, 3).
    """
    count = len(corners)
    side = 1 << int(np.ceil(np.log2(max(count, 4)) / 2))
    rows = side // 2 if 2 * count <= side**2 else side  # the curve fills the upper half first
    position = np.empty((count, 2), dtype=np.int64)
    position[_spatial_order(corners.mean(axis=1))] = _spread_cells(count)
    a, b, c = (colours[:, i] for i in range(3))
    texture = np.zeros((2 * rows, 2 * side, 3))
    column, row = 2 * position.T
    texture[row, column], texture[row, column + 1] = a, b
    texture[row + 1, column], texture[row + 1, column + 1] = c, b + c - a
    _fill(texture, column, row)
    texel = np.array([[0.5, 0.5], [1.5, 0.5], [0.5, 1.5]])
    uv = (2 * position[:, None] + texel) / [2 * side, 2 * rows]
    uv[..., 1] = 1 - uv[..., 1]  # rows count from the top, v from the bottom
    pixels = np.round(255 * np.clip(texture, 0, 1)).astype(np.uint8)
    return pixels, uv.reshape(-1, 2), np.arange(3 * count).reshape(-1, 3)


def _fill(texture: Array, column: NDArray[np.int64], row: NDArray[np.int64]) -> None:
    """Gives unused cells the mean colour, which mipmaps mix in."""
    used = np.zeros(texture.shape[:2], dtype=bool)
    for i in (0, 1):
        for j in (0, 1):
            used[row + i, column + j] = True
    texture[~used] = texture[used].mean(axis=0)


def _spatial_order(centres: Array) -> NDArray[np.int64]:
    """The order of points (T, 3) along a Morton curve."""
    low, extent = centres.min(axis=0), np.ptp(centres, axis=0).max() or 1.0
    cells = ((centres - low) / extent * (2**_BITS - 1)).astype(np.int64)
    code = np.zeros(len(centres), dtype=np.int64)
    for bit in range(_BITS):
        for axis in range(3):
            code |= (cells[:, axis] >> bit & 1) << (3 * bit + axis)
    return np.argsort(code, kind="stable")


def _spread_cells(count: int) -> NDArray[np.int64]:
    """Columns and rows (T, 2) of the first cells of a planar Morton curve."""
    number = np.arange(count)
    position = np.zeros((count, 2), dtype=np.int64)
    for bit in range(2 * _BITS):
        position[:, bit % 2] |= (number >> bit & 1) << (bit // 2)
    return position


def srgb(linear: Array) -> Array:
    """Linear colours from 0 to 1 in sRGB (IEC 61966-2-1)."""
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
