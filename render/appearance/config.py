"""Appearance randomization as data: quantities, ranges, distributions and their sources.

`AppearanceConfig` holds the ranges, `sample_appearance` samples an `Appearance`, and
`apply_appearance` writes it into a model. The table in `docs/randomization.md` is generated from
the fields.
"""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from opendactyl.core.config_fields import check_ranges, load_preset, randomized
from opendactyl.render.appearance.elements import Backdrop, Distractor, Light, Surface

Range = tuple[float, float]
MAX_LIGHTS = 6
MAX_DISTRACTORS = 4
LIMITS = {
    "lights": (1, MAX_LIGHTS),
    "light_distance": (0.1, math.inf),
    "light_elevation": (0.0, 1.0),
    "light_cone": (1.0, 90.0),
    "light_weight": (1e-3, math.inf),
    "shadow": (0.0, 1.0),
    "face_hue": (0.0, 0.5),
    "letter_hue": (0.0, 0.5),
    "letter_saturation": (0.0, 1.0),
    "letter_value": (0.0, 1.0),
    "background_texture": (0.0, 1.0),
    "background_tile": (1e-3, math.inf),
    "distractors": (0, MAX_DISTRACTORS),
}
"""Limits of values that are not limited to [0, inf)."""


@dataclass(frozen=True, kw_only=True)
class AppearanceConfig:
    """Ranges of the appearance randomization. The defaults are the `dactyl` preset."""

    camera_position: float = randomized(
        0.005, "camera position, each axis (m)", "± uniform", "ORRB renderer_config.json"
    )
    camera_rotation: float = randomized(
        0.015, "camera rotation about a random axis (rad)", "uniform from 0", "ORRB"
    )
    camera_fovy: float = randomized(
        0.00873, "camera vertical field of view (rad)", "± uniform", "ORRB"
    )
    lights: tuple[int, int] = randomized((4, 6), "number of lights", "uniform", "D18 Table 9")
    light_distance: Range = randomized(
        (1.0, 1.5), "light distance from the palm (m)", "uniform", "ORRB"
    )
    light_elevation: Range = randomized(
        (0.1, 1.0),
        "sine of the light's elevation",
        "uniform (hemisphere without its rim); if fixed, lights are evenly spaced around the palm",
        "after D18 Table 9",
    )
    light_cone: Range = randomized((27.0, 33.0), "light cone, half angle (deg)", "uniform", "ORRB")
    light_weight: Range = randomized(
        (1.0, 5.0), "relative light intensity", "uniform", "D18 Table 9"
    )
    light_total: Range = randomized(
        (0.5, 2.0),
        "total light intensity (sum of diffuse; D18 uses Unity's units)",
        "uniform",
        "after D18 Table 9",
    )
    light_ambient: Range = randomized((0.1, 0.4), "ambient light", "uniform", "ours")
    shadow: float = randomized(
        0.5, "probability that the brightest light casts shadows", "", "ours"
    )
    hand_random: bool = randomized(True, "hand colour, any RGB", "uniform in RGB", "D18 Table 9")
    hand_metallic: Range = randomized((0.05, 0.25), "hand metallic", "uniform", "D18 Table 9")
    hand_gloss: Range = randomized((0.0, 1.0), "hand glossiness", "uniform", "D18 Table 9")
    face_hue: float = randomized(0.01, "face hue (1 is a full circle)", "± uniform", "D18 Table 9")
    face_saturation: float = randomized(0.15, "face saturation", "± uniform", "D18 Table 9")
    face_value: float = randomized(0.15, "face value", "± uniform", "D18 Table 9")
    face_metallic: Range = randomized((0.05, 0.15), "face metallic", "uniform", "D18 Table 9")
    face_gloss: Range = randomized((0.05, 0.15), "face glossiness", "uniform", "D18 Table 9")
    letter_hue: float = randomized(0.02, "letter hue (1 is a full circle)", "± uniform", "ORRB")
    letter_saturation: float = randomized(0.0, "letter saturation (0: no hue)", "", "ORRB")
    letter_value: Range = randomized((0.5, 1.0), "letter value", "uniform", "ORRB")
    background_random: bool = randomized(
        True, "floor and wall colour, any RGB", "uniform in RGB", "ours"
    )
    background_texture: float = randomized(
        0.5, "probability of a procedural texture, for floor and walls each", "", "after DR17"
    )
    background_tile: Range = randomized(
        (5.0, 5.0), "side of a texture's tile (m)", "log-uniform", "ours"
    )
    distractors: tuple[int, int] = randomized(
        (0, 0), "number of distractor objects around the hand", "uniform", "after DR17"
    )

    def __post_init__(self) -> None:
        """Checks that every range can be sampled."""
        check_ranges("appearance", self, LIMITS)


PRESETS: dict[str, AppearanceConfig] = {
    "calibrated": AppearanceConfig(
        camera_position=0.0,
        camera_rotation=0.0,
        camera_fovy=0.0,
        lights=(4, 4),
        light_distance=(1.25, 1.25),
        light_elevation=(0.7, 0.7),
        light_cone=(30.0, 30.0),
        light_weight=(1.0, 1.0),
        light_total=(1.2, 1.2),
        light_ambient=(0.25, 0.25),
        shadow=1.0,
        hand_random=False,
        hand_metallic=(0.15, 0.15),
        hand_gloss=(0.5, 0.5),
        face_hue=0.0,
        face_saturation=0.0,
        face_value=0.0,
        face_metallic=(0.1, 0.1),
        face_gloss=(0.1, 0.1),
        letter_hue=0.0,
        letter_value=(1.0, 1.0),
        background_random=False,
        background_texture=0.0,
    ),
    "dactyl": AppearanceConfig(),
    "wide": AppearanceConfig(
        camera_position=0.0015,
        camera_rotation=float(np.deg2rad(3.0)),
        camera_fovy=float(np.deg2rad(1.0)),
        background_texture=1.0,
        background_tile=(0.3, 3.0),
        distractors=(1, MAX_DISTRACTORS),
    ),
}
"""`calibrated` is not randomized, `dactyl` is D18 Table 9 with ORRB's camera ranges, `wide` has the
camera ranges of Table 9, textures in every image, and distractors."""


@dataclass(frozen=True, kw_only=True)
class Appearance:
    """A sampled appearance. Together with a state it determines an image."""

    camera_offset: tuple[tuple[float, float, float], ...]
    """Displacement of each camera in the hand frame, in metres."""
    camera_rotvec: tuple[tuple[float, float, float], ...]
    """Rotation vector of each camera in the camera frame, in radians."""
    camera_fovy: tuple[float, ...]
    """Offset of each camera's vertical field of view, in radians."""
    lights: tuple[Light, ...]
    ambient: float
    shadow: bool
    """Whether the brightest light casts shadows."""
    hand: Surface
    faces: tuple[Surface, ...]
    """The object's faces, then its surfaces (`ObjectSpec.colours`)."""
    letters: tuple[tuple[float, float, float], ...]
    floor: Backdrop
    wall: Backdrop
    distractors: tuple[Distractor, ...]
    scenery: tuple[Surface, ...] = ()
    """Those of `Scenery.colours`, in a scene without a hand."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-serialisable form, saved in the label; without `scenery` where a hand is shown."""
        value = dataclasses.asdict(self)
        if not self.scenery:
            del value["scenery"]
        return value

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> "Appearance":
        """Inverse of `to_dict`."""
        values = {key: _tuples(item) for key, item in value.items()}
        return cls(
            **values
            | {
                "lights": tuple(Light(**_tuples(x)) for x in value["lights"]),
                "hand": Surface(**_tuples(value["hand"])),
                "faces": tuple(Surface(**_tuples(x)) for x in value["faces"]),
                "floor": Backdrop(**_tuples(value["floor"])),
                "wall": Backdrop(**_tuples(value["wall"])),
                "distractors": tuple(Distractor(**_tuples(x)) for x in value["distractors"]),
                "scenery": tuple(Surface(**_tuples(x)) for x in value.get("scenery", ())),
            }
        )


def _tuples(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(_tuples(item) for item in value)
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return value


def load_appearance(name: str) -> AppearanceConfig:
    """Loads a preset by name, or a TOML file whose keys override its `preset` (default dactyl).

    Raises:
        InputError: no such preset or file, or the file has an unknown key or an invalid value.
    """
    return load_preset("appearance", name, PRESETS)
