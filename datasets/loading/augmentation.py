"""Photometric augmentation on load, sampled for each view.

No transform moves pixels: a flip, crop or rotation would break the geometry.
"""

import os
import random

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # Read at import: no network access.

import albumentations as A
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from opendactyl.datasets.loading.augmentation_config import AugmentConfig, Range
from opendactyl.datasets.loading.sensor_effects import Demosaicing, Exposure


class Augmentation:
    """An albumentations pipeline whose random numbers depend on the given generator only."""

    def __init__(self, config: AugmentConfig) -> None:
        """Builds the pipeline."""
        self._config = config
        self._pipeline = A.Compose(
            [
                A.CoarseDropout(
                    num_holes_range=_whole(config.rectangles),
                    hole_height_range=config.rectangle,
                    hole_width_range=config.rectangle,
                    fill="random_uniform",
                    p=config.occluder,
                ),
                A.ColorJitter(
                    brightness=config.brightness,
                    contrast=config.contrast,
                    saturation=config.saturation,
                    hue=config.hue / 360,
                    p=config.colours,
                ),
                A.PlanckianJitter(p=config.white_balance),
                A.GaussianBlur(blur_limit=(3, 3), p=config.blur),
                A.Defocus(radius=_whole(config.defocus_radius), p=config.defocus),
                A.MotionBlur(
                    blur_limit=_whole(config.motion_blur_length),
                    allow_shifted=False,
                    direction_range=(0, 0),
                    p=config.motion_blur,
                ),
                Exposure(config.stops, p=config.exposure),
                A.GaussNoise(std_range=config.noise, p=config.noisy),
                Demosaicing(p=config.demosaicing),
                A.ImageCompression(quality_range=_whole(config.jpeg_quality), p=config.jpeg),
            ]
        )

    def __call__(
        self,
        images: NDArray[np.uint8],
        rng: np.random.Generator,
        masks: NDArray[np.uint8] | None = None,
    ) -> NDArray[np.uint8]:
        """Augments images (V, H, W, 3), independently for each view.

        Args:
            images: the views of a sample.
            rng: source of all random numbers.
            masks: classes (V, H, W) of the pixels; 0 is background.
        """
        if masks is not None:
            images = np.stack(
                [
                    replace_background(image, mask == 0, rng)
                    if rng.random() < self._config.background
                    else image
                    for image, mask in zip(images, masks, strict=True)
                ]
            )
        images = np.stack(
            [
                with_patch(image, images[rng.integers(len(images))], self._config.patch, rng)
                if rng.random() < self._config.occluder
                else image
                for image in images
            ]
        )
        return np.stack(
            [
                self._transform(image, child)
                for image, child in zip(images, rng.spawn(len(images)), strict=True)
            ]
        )

    def _transform(self, image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        # Not `set_random_seed`, which gives every transform a copy of the same random stream: all
        # would decide alike whether to apply. Here, they consume one stream in turn.
        self._pipeline.set_random_state(rng, random.Random(int(rng.integers(2**63))))
        return self._pipeline(image=image)["image"]


def _whole(values: Range) -> tuple[int, int]:
    return round(values[0]), round(values[1])


def with_patch(
    image: NDArray[np.uint8], other: NDArray[np.uint8], sides: Range, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Covers a part of `image` with a patch of `other`; `sides` are fractions of the image's."""
    size = np.array(image.shape[:2])
    height, width = np.maximum(size * rng.uniform(*sides, 2), 1).astype(int)
    free = size - (height, width)
    (top, left), (row, column) = rng.integers(0, free + 1), rng.integers(0, free + 1)
    mixed = image.copy()
    mixed[top : top + height, left : left + width] = other[
        row : row + height, column : column + width
    ]
    return mixed


def replace_background(
    image: NDArray[np.uint8], background: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Replaces the background by a coarse random pattern, smooth or of blocks."""
    height, width = background.shape
    cells = rng.integers(0, 256, (*rng.integers(2, 9, 2), 3), dtype=np.uint8)
    smooth = Image.Resampling.BICUBIC if rng.random() < 0.7 else Image.Resampling.NEAREST
    pattern = np.asarray(Image.fromarray(cells).resize((width, height), smooth))
    return np.where(background[..., None], pattern, image)
