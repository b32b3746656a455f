"""Sampling of appearances."""

import colorsys

import numpy as np

from opendactyl.geometry.rotation import random_quat
from opendactyl.render.appearance.config import MAX_LIGHTS, Appearance, AppearanceConfig, Range
from opendactyl.render.appearance.elements import Backdrop, Distractor, Light, Surface
from opendactyl.render.appearance.scenery import with_scenery
from opendactyl.sim.hands.spec import HandSpec
from opendactyl.sim.objects.spec import ObjectSpec
from opendactyl.sim.scenery.spec import Scenery

Rgb = tuple[float, float, float]

HAND_RGB: Rgb = (0.25, 0.25, 0.27)
FLOOR_RGB: Rgb = (0.8, 0.8, 0.8)
WALL_RGB: Rgb = (0.7, 0.72, 0.75)
_PATTERNS = ("gradient", "stripes", "checker", "noise", "clouds")


def sample_appearance(
    rng: np.random.Generator,
    config: AppearanceConfig,
    *,
    views: int,
    obj: ObjectSpec,
    surroundings: HandSpec | None = None,
) -> Appearance:
    """Samples an appearance for a rig of `views` cameras, an object, and a hand or a scene."""
    axes = rng.standard_normal((views, 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    angles = rng.uniform(0.0, 1.0, (views, 1)) * config.camera_rotation
    offsets = rng.uniform(-1.0, 1.0, (views, 3)) * config.camera_position
    fovy = rng.uniform(-1.0, 1.0, views) * config.camera_fovy
    count = int(rng.integers(config.distractors[0], config.distractors[1] + 1))
    sampled = Appearance(
        camera_offset=tuple(_triple(row) for row in offsets),
        camera_rotvec=tuple(_triple(row) for row in axes * angles),
        camera_fovy=tuple(float(value) for value in fovy),
        lights=_lights(rng, config),
        ambient=_uniform(rng, config.light_ambient),
        shadow=bool(rng.random() < config.shadow),
        hand=Surface(
            rgb=_any_rgb(rng) if config.hand_random else HAND_RGB,
            metallic=_uniform(rng, config.hand_metallic),
            gloss=_uniform(rng, config.hand_gloss),
        ),
        faces=tuple(_face(rng, config, rgb) for rgb in obj.colours),
        letters=tuple(_letter(rng, config) for _ in obj.all_faces),
        floor=_backdrop(rng, config, FLOOR_RGB),
        wall=_backdrop(rng, config, WALL_RGB),
        distractors=tuple(_distractor(rng) for _ in range(count)),
    )
    if isinstance(surroundings, Scenery):
        return with_scenery(rng, config, sampled, surroundings)
    return sampled


def _uniform(rng: np.random.Generator, bounds: Range) -> float:
    return float(rng.uniform(*bounds))


def _triple(values: np.ndarray) -> Rgb:
    return (float(values[0]), float(values[1]), float(values[2]))


def _any_rgb(rng: np.random.Generator) -> Rgb:
    return _triple(rng.random(3))


def _lights(rng: np.random.Generator, config: AppearanceConfig) -> tuple[Light, ...]:
    count = int(rng.integers(config.lights[0], config.lights[1] + 1))
    assert count <= MAX_LIGHTS
    weights = rng.uniform(*config.light_weight, count)
    intensity = weights / weights.sum() * _uniform(rng, config.light_total)
    lights = []
    fixed = config.light_elevation[0] == config.light_elevation[1]
    for number in range(count):
        # Without randomization the lights are evenly spaced around the hand.
        azimuth = 2 * np.pi * (number / count if fixed else rng.random())
        sine = _uniform(rng, config.light_elevation)
        cosine = np.sqrt(1 - sine**2)
        direction = np.array([cosine * np.cos(azimuth), cosine * np.sin(azimuth), sine])
        lights.append(
            Light(
                position=_triple(direction * _uniform(rng, config.light_distance)),
                intensity=float(intensity[number]),
                cone=_uniform(rng, config.light_cone),
            )
        )
    return tuple(sorted(lights, key=lambda light: -light.intensity))


def _face(rng: np.random.Generator, config: AppearanceConfig, nominal: Rgb) -> Surface:
    h, s, v = colorsys.rgb_to_hsv(*nominal)
    h = (h + rng.uniform(-1, 1) * config.face_hue) % 1.0
    s = float(np.clip(s + rng.uniform(-1, 1) * config.face_saturation, 0.0, 1.0))
    v = float(np.clip(v + rng.uniform(-1, 1) * config.face_value, 0.0, 1.0))
    return Surface(
        rgb=colorsys.hsv_to_rgb(h, s, v),
        metallic=_uniform(rng, config.face_metallic),
        gloss=_uniform(rng, config.face_gloss),
    )


def _letter(rng: np.random.Generator, config: AppearanceConfig) -> Rgb:
    hue = (rng.uniform(-1, 1) * config.letter_hue) % 1.0
    return colorsys.hsv_to_rgb(hue, config.letter_saturation, _uniform(rng, config.letter_value))


def _backdrop(rng: np.random.Generator, config: AppearanceConfig, nominal: Rgb) -> Backdrop:
    textured = rng.random() < config.background_texture
    pattern = str(rng.choice(_PATTERNS)) if textured else "flat"
    first, second = _any_rgb(rng), _any_rgb(rng)
    return Backdrop(
        pattern=pattern,
        first=first if config.background_random else nominal,
        second=second,
        scale=int(rng.integers(2, 17)),
        tile=float(np.exp(rng.uniform(*np.log(config.background_tile)))),
        seed=int(rng.integers(2**31)),
    )


def _distractor(rng: np.random.Generator) -> Distractor:
    """Samples a solid beside or below the hand, outside the cameras' views of the object."""
    azimuth, radius = rng.uniform(0, 2 * np.pi), rng.uniform(0.16, 0.5)
    height = rng.uniform(-0.28, -0.12)
    return Distractor(
        shape=str(rng.choice(["box", "sphere", "capsule"])),
        position=(radius * np.cos(azimuth), radius * np.sin(azimuth), height),
        quaternion=tuple(random_quat(rng).tolist()),
        size=_triple(rng.uniform(0.01, 0.05, 3)),
        rgb=_any_rgb(rng),
    )
