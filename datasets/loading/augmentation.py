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

from opendactyl.core.config_fields import check_ranges, documented, randomized

Range = tuple[float, float]


LIMITS = {
    **dict.fromkeys(
        ("colours", "brightness", "contrast", "saturation", "white_balance", "blur", "noisy",
         "noise", "jpeg", "occluder", "background"), (0.0, 1.0),
    ),
    "hue": (0.0, 180.0),
    "jpeg_quality": (1.0, 100.0),
    "rectangles": (1.0, 100.0),
    "rectangle": (0.001, 1.0),
    "patch": (0.001, 1.0),
}  # fmt: skip
"""What the values may be."""


@documented
@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """What is drawn for every view; `docs/randomization.md` is made from the fields."""

    colours: float = randomized(0.9, "share of views whose colours are shifted at all", "", "ours")
    brightness: float = randomized(0.2, "brightness (share)", "± uniform", "ORRB")
    contrast: float = randomized(0.5, "contrast about the mean (share)", "± uniform", "D18 Table 9")
    saturation: float = randomized(0.2, "saturation (share)", "± uniform", "ORRB")
    hue: float = randomized(10.0, "hue (degrees)", "± uniform", "ORRB")
    white_balance: float = randomized(
        0.3,
        "share of views with the cast of another light",
        "a black body of 3,000 to 15,000 K",
        "after D19's post-processing",
    )
    blur: float = randomized(0.2, "share of views blurred", "Gaussian, 3 pixels wide", "DeXtreme")
    noisy: float = randomized(0.7, "share of views with pixel noise", "", "ours")
    noise: Range = randomized(
        (0.0, 0.1), "standard deviation of pixel noise (share of white)", "uniform", "D18 Table 9"
    )
    jpeg: float = randomized(0.2, "share of views compressed", "", "DeXtreme")
    jpeg_quality: Range = randomized((60.0, 95.0), "JPEG quality", "uniform", "ours")
    occluder: float = randomized(
        0.2,
        "share of views behind rectangles, and of views behind a patch cut from another",
        "",
        "after DeXtreme's CutMix",
    )
    rectangles: Range = randomized((1.0, 3.0), "rectangles, each of one colour", "uniform", "ours")
    rectangle: Range = randomized(
        (0.03, 0.12), "a rectangle's sides (share of the view's)", "uniform", "ours"
    )
    patch: Range = randomized(
        (0.05, 0.2), "a patch's sides (share of the view's)", "uniform", "ours"
    )
    background: float = randomized(
        0.3, "share of views with a random pattern behind, where masks are stored", "", "DeXtreme"
    )

    def __post_init__(self) -> None:
        """Refuses what cannot be drawn."""
        check_ranges("augmentation", self, LIMITS)


class Augmentation:
    """An albumentations pipeline, seeded anew for every sample."""

    def __init__(self, config: AugmentConfig) -> None:
        """Builds the pipeline."""
        self._config = config
        first, last = config.rectangles
        self._pipeline = A.Compose(
            [
                A.CoarseDropout(
                    num_holes_range=(round(first), round(last)),
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
                A.GaussNoise(std_range=config.noise, p=config.noisy),
                A.ImageCompression(
                    quality_range=(round(config.jpeg_quality[0]), round(config.jpeg_quality[1])),
                    p=config.jpeg,
                ),
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
        self._pipeline.set_random_seed(int(rng.integers(2**31)))
        return np.stack([self._pipeline(image=image)["image"] for image in images])


def with_patch(
    image: NDArray[np.uint8], other: NDArray[np.uint8], sides: Range, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Hides a part of `image`, of sides that are shares of its own, behind a piece of `other`."""
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
    """Puts a coarse random pattern, smooth or of blocks, where `background` is."""
    height, width = background.shape
    cells = rng.integers(0, 256, (*rng.integers(2, 9, 2), 3), dtype=np.uint8)
    smooth = Image.Resampling.BICUBIC if rng.random() < 0.7 else Image.Resampling.NEAREST
    scenery = np.asarray(Image.fromarray(cells).resize((width, height), smooth))
    return np.where(background[..., None], scenery, image)
