"""What an appearance consists of: lights, surfaces, backdrops and distractors."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Light:
    """A spot light aimed at the palm, or at the centre of a scene's volume."""

    position: tuple[float, float, float]
    """In metres from that point, along the axes of the hand frame."""
    intensity: float
    """Diffuse intensity; those of all lights sum to the sampled total."""
    cone: float
    """Half angle in degrees."""


@dataclass(frozen=True, kw_only=True)
class Surface:
    """Colour and material of a surface."""

    rgb: tuple[float, float, float]
    metallic: float
    gloss: float


@dataclass(frozen=True, kw_only=True)
class Backdrop:
    """A procedural texture of floor or walls: two colours, a pattern, its scale and its seed."""

    pattern: str
    """`flat`, `gradient`, `stripes`, `checker`, `noise` or `clouds`; or `picture`, one of those of
    the scene (`Scenery.pictures`), which the seed selects."""
    first: tuple[float, float, float]
    second: tuple[float, float, float]
    scale: int
    """Number of stripes, checks or noise cells along a side."""
    tile: float
    """Side of the square that the texture covers, in metres; the texture repeats."""
    seed: int


@dataclass(frozen=True, kw_only=True)
class Distractor:
    """A coloured solid near the hand."""

    shape: str
    """`box`, `sphere` or `capsule`."""
    position: tuple[float, float, float]
    """In metres, in the hand frame."""
    quaternion: tuple[float, float, float, float]
    size: tuple[float, float, float]
    rgb: tuple[float, float, float]
