"""Settings of the augmentation."""

from dataclasses import dataclass
from typing import Self

from opendactyl.core.config_fields import check_ranges, documented, randomized

Range = tuple[float, float]
GAMMA = 2.2
"""Light is the value of a pixel to this power."""

PROBABILITIES = (
    "colours", "white_balance", "blur", "defocus", "motion_blur", "exposure", "noisy",
    "demosaicing", "jpeg", "occluder", "background",
)  # fmt: skip
"""Fields that say how often an effect is applied."""
LIMITS = {
    **dict.fromkeys((*PROBABILITIES, "brightness", "contrast", "saturation", "noise"), (0.0, 1.0)),
    "hue": (0.0, 180.0),
    "jpeg_quality": (1.0, 100.0),
    "defocus_radius": (1.0, 20.0),
    "motion_blur_length": (3.0, 41.0),
    "stops": (0.0, 8.0),
    "rectangles": (1.0, 100.0),
    "rectangle": (0.001, 1.0),
    "patch": (0.001, 1.0),
}  # fmt: skip
"""Allowed values."""


@documented
@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Ranges of the augmentation, sampled per view; the source of a table in the docs."""

    colours: float = randomized(0.9, "probability of a shift of colours", "", "ours")
    brightness: float = randomized(0.2, "brightness (relative)", "± uniform", "ORRB")
    contrast: float = randomized(0.5, "contrast about mean (relative)", "± uniform", "D18 Table 9")
    saturation: float = randomized(0.2, "saturation (relative)", "± uniform", "ORRB")
    hue: float = randomized(10.0, "hue (degrees)", "± uniform", "ORRB")
    white_balance: float = randomized(
        0.3,
        "probability of another white balance",
        "a black body of 3,000 to 15,000 K",
        "after D19's post-processing",
    )
    blur: float = randomized(0.2, "probability of blur", "Gaussian, 3 pixels wide", "DeXtreme")
    defocus: float = randomized(0.0, "probability of defocus", "", "ours", optional=True)
    defocus_radius: Range = randomized(
        (1.0, 2.0), "radius of a defocused point (pixels)", "uniform", "ours", optional=True
    )
    motion_blur: float = randomized(
        0.0, "probability of motion blur", "in any direction", "ours", optional=True
    )
    motion_blur_length: Range = randomized(
        (3.0, 5.0), "length of the motion (pixels)", "uniform", "ours", optional=True
    )
    exposure: float = randomized(0.0, "probability of another exposure", "", "ours", optional=True)
    stops: float = randomized(
        1.0,
        "exposure (stops), which loses what is brighter than white",
        "± uniform",
        "ours",
        optional=True,
    )
    noisy: float = randomized(0.7, "probability of pixel noise", "", "ours")
    noise: Range = randomized(
        (0.0, 0.1),
        "standard deviation of pixel noise (white is 1)",
        "uniform",
        "D18 Table 9",
    )
    demosaicing: float = randomized(
        0.0, "probability of a sensor with a mosaic of colours", "", "ours", optional=True
    )
    jpeg: float = randomized(0.2, "probability of JPEG compression", "", "DeXtreme")
    jpeg_quality: Range = randomized((60.0, 95.0), "JPEG quality", "uniform", "ours")
    occluder: float = randomized(
        0.2,
        "probability of rectangles, and of a patch of another view, in front",
        "",
        "after DeXtreme's CutMix",
    )
    rectangles: Range = randomized(
        (1.0, 3.0), "number of one-coloured rectangles", "uniform", "ours"
    )
    rectangle: Range = randomized(
        (0.03, 0.12), "sides of a rectangle (fraction of the view's)", "uniform", "ours"
    )
    patch: Range = randomized(
        (0.05, 0.2), "sides of a patch (fraction of the view's)", "uniform", "ours"
    )
    background: float = randomized(
        0.3, "probability of a random background, where masks are stored", "", "DeXtreme"
    )

    def __post_init__(self) -> None:
        """Raises an `InputError` for invalid ranges."""
        check_ranges("augmentation", self, LIMITS)

    @classmethod
    def none(cls) -> Self:
        """No effect at all: every probability is zero."""
        return cls(**dict.fromkeys(PROBABILITIES, 0.0))
