"""What belongs to the camera: photometric augmentation on load, drawn for each view.

Nothing here moves a pixel: a flip, crop or rotation would break the geometry.
"""

import os
from dataclasses import dataclass

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # Read at import: no look-up on the net.

import albumentations as A
import numpy as np
from numpy.typing import NDArray
from PIL import Image

PATCH_SHARE = (0.05, 0.2)
"""Height and width of a patch cut from another view, as shares of the image's."""


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Ranges of the augmentation."""

    contrast: float = 0.5
    """Contrast about the mean, ± share: 50 to 150 % (D18 Table 9)."""
    brightness: float = 0.2
    """Brightness, ± share (ORRB post-processing)."""
    noise: float = 0.1
    """Largest standard deviation of pixel noise, as a share of white (D18 Table 9)."""
    hue: float = 10.0
    """Hue shift in degrees, ± (ORRB post-processing)."""
    saturation: float = 0.2
    """Saturation, ± share (ORRB post-processing)."""
    white_balance: float = 0.3
    """Probability of a colour cast, as of a light of 3,000 to 15,000 K (D19's post-processing)."""
    blur: float = 0.2
    """Probability of a slight blur (DeXtreme)."""
    jpeg: float = 0.2
    """Probability of JPEG compression (DeXtreme)."""
    occluder: float = 0.2
    """Probability of plain rectangles in front of a picture, and of a patch cut from another view
    of the sample (DeXtreme's CutMix, as an occluder)."""
    background: float = 0.3
    """Probability of another background, where the dataset stores masks (DeXtreme)."""


class Augmentation:
    """An albumentations pipeline, seeded anew for every sample."""

    def __init__(self, config: AugmentConfig) -> None:
        """Builds the pipeline."""
        self._background = config.background
        self._occluder = config.occluder
        self._pipeline = A.Compose(
            [
                A.CoarseDropout(
                    num_holes_range=(1, 3),
                    hole_height_range=(0.03, 0.12),
                    hole_width_range=(0.03, 0.12),
                    fill="random_uniform",
                    p=config.occluder,
                ),
                A.ColorJitter(
                    brightness=config.brightness,
                    contrast=config.contrast,
                    saturation=config.saturation,
                    hue=config.hue / 360,
                    p=0.9,
                ),
                A.PlanckianJitter(p=config.white_balance),
                A.GaussianBlur(blur_limit=(3, 3), p=config.blur),
                A.GaussNoise(std_range=(0.0, config.noise), p=0.7),
                A.ImageCompression(quality_range=(60, 95), p=config.jpeg),
            ]
        )

    def __call__(
        self,
        images: NDArray[np.uint8],
        rng: np.random.Generator,
        masks: NDArray[np.uint8] | None = None,
    ) -> NDArray[np.uint8]:
        """Augments images (V, H, W, 3), each view with draws of its own.

        Args:
            images: the views of a sample.
            rng: decides every draw.
            masks: the classes (V, H, W) of the pixels, 0 being background.
        """
        if masks is not None:
            images = np.stack(
                [
                    replace_background(image, mask == 0, rng)
                    if rng.random() < self._background
                    else image
                    for image, mask in zip(images, masks, strict=True)
                ]
            )
        images = np.stack(
            [
                with_patch(image, images[rng.integers(len(images))], rng)
                if rng.random() < self._occluder
                else image
                for image in images
            ]
        )
        self._pipeline.set_random_seed(int(rng.integers(2**31)))
        return np.stack([self._pipeline(image=image)["image"] for image in images])


def with_patch(
    image: NDArray[np.uint8], other: NDArray[np.uint8], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Hides a small part of `image` behind a piece cut from anywhere in `other`."""
    size = np.array(image.shape[:2])
    height, width = np.maximum(size * rng.uniform(*PATCH_SHARE, 2), 1).astype(int)
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
    """Puts a coarse random pattern, smooth or of blocks, where `background` is."""
    height, width = background.shape
    cells = rng.integers(0, 256, (*rng.integers(2, 9, 2), 3), dtype=np.uint8)
    smooth = Image.Resampling.BICUBIC if rng.random() < 0.7 else Image.Resampling.NEAREST
    scenery = np.asarray(Image.fromarray(cells).resize((width, height), smooth))
    return np.where(background[..., None], scenery, image)
