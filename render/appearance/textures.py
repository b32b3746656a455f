"""Textures for floor and walls: procedural ones, generated from a seed, and pictures."""

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from opendactyl.render.appearance.elements import Backdrop
from opendactyl.sim.assets.pictures import UNDECODABLE, picture_error

TEXTURE_SIZE = 64
"""Width and height of a texture in pixels."""
PICTURE_SIZE = 512
"""The same where there are pictures."""
OCTAVES = 4
"""Octaves of noise in `clouds`; frequency doubles and amplitude halves from one to the next."""

Blend = NDArray[np.float64]


def backdrop_texture(
    backdrop: Backdrop, size: int = TEXTURE_SIZE, pictures: Sequence[Path] = ()
) -> NDArray[np.uint8]:
    """The texture (size, size, 3) of a backdrop, a blend of its two colours, or a picture.

    `stripes`, `checker`, `noise` and `clouds` tile seamlessly.
    """
    if backdrop.pattern == "picture":
        return _picture(pictures[backdrop.seed % len(pictures)], size)
    rng = np.random.default_rng(backdrop.seed)
    blend = _blend(backdrop, rng, size)
    first, second = np.array(backdrop.first), np.array(backdrop.second)
    colours = first + blend[..., None] * (second - first)
    return (np.clip(colours, 0, 1) * 255).astype(np.uint8)


@functools.lru_cache(maxsize=64)
def _picture(path: Path, size: int) -> NDArray[np.uint8]:
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BOX))
    except UNDECODABLE as error:
        raise picture_error(f"the background {path}", error, "remove it") from error


def _blend(backdrop: Backdrop, rng: np.random.Generator, size: int) -> Blend:
    """Weight (size, size) of the second colour in each pixel, in [0, 1]."""
    y, x = np.mgrid[0:size, 0:size] / size
    if backdrop.pattern == "flat":
        return np.zeros((size, size))
    if backdrop.pattern == "gradient":
        angle = rng.uniform(0, 2 * np.pi)
        return _rescaled(x * np.cos(angle) + y * np.sin(angle))
    if backdrop.pattern == "stripes":
        across, along = rng.permutation([backdrop.scale, int(rng.integers(0, 4))])
        sharpness = rng.uniform(0.5, 8.0)
        wave = np.sin(2 * np.pi * (across * x + along * y) + rng.uniform(0, 2 * np.pi))
        return (np.tanh(sharpness * wave) / np.tanh(sharpness) + 1) / 2
    if backdrop.pattern == "checker":
        cells = rng.integers(0, 2, (backdrop.scale, backdrop.scale))
        index = (np.arange(size) * backdrop.scale) // size
        return cells[np.ix_(index, index)].astype(float)
    if backdrop.pattern == "noise":
        return _noise(rng, backdrop.scale, size)
    layers = (_noise(rng, min(2 * 2**n, size), size) / 2**n for n in range(OCTAVES))
    return _rescaled(np.sum(list(layers), axis=0))


def _noise(rng: np.random.Generator, cells: int, size: int) -> Blend:
    """Periodic value noise (size, size): bilinear interpolation of random values on a grid."""
    corners = rng.random((cells, cells))
    corners = np.pad(corners, (0, 1), mode="wrap")
    u = np.linspace(0, cells, size, endpoint=False)
    i, f = u.astype(int), u - u.astype(int)
    rows = corners[i] * (1 - f)[:, None] + corners[i + 1] * f[:, None]
    return rows[:, i] * (1 - f) + rows[:, i + 1] * f


def _rescaled(values: Blend) -> Blend:
    """Values rescaled to [0, 1]."""
    return (values - values.min()) / (values.max() - values.min())
