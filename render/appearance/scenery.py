"""Sampling of the colours of a scene without a hand."""

import colorsys
import dataclasses

import numpy as np

from opendactyl.render.appearance.config import Appearance, AppearanceConfig
from opendactyl.render.appearance.elements import Backdrop, Surface
from opendactyl.sim.scenery.spec import FLOOR, WALL, ColourRange, Range, Scenery

PICTURE_TILE = (0.5, 5.0)
"""Width that a picture covers of a floor or wall, in metres: log-uniform."""


def with_scenery(
    rng: np.random.Generator, config: AppearanceConfig, sampled: Appearance, scenery: Scenery
) -> Appearance:
    """Adds a colour for each of `Scenery.colours`; floor and walls have theirs, or a picture.

    Without randomization of the hand's colour, each colour is the centre of its range.
    """
    surfaces = tuple(_surface(rng, config, colour) for colour in scenery.colours)
    room = {}
    for name, backdrop in ((FLOOR, sampled.floor), (WALL, sampled.wall)):
        colour = next(colour for colour in scenery.colours if name in colour.patterns)
        if colour.is_given:
            first, second = (_surface(rng, config, colour).rgb for _ in range(2))
            backdrop = dataclasses.replace(backdrop, first=first, second=second)
        room[name] = _with_picture(rng, backdrop) if scenery.pictures else backdrop
    return dataclasses.replace(sampled, **room, scenery=surfaces, distractors=())


def _surface(rng: np.random.Generator, config: AppearanceConfig, colour: ColourRange) -> Surface:
    ranges = (
        colour.hue,
        colour.saturation,
        colour.value,
        colour.metallic or config.hand_metallic,
        colour.gloss or config.hand_gloss,
    )
    hue, saturation, value, metallic, gloss = (_drawn(rng, config, bounds) for bounds in ranges)
    return Surface(
        rgb=colorsys.hsv_to_rgb(hue % 1.0, saturation, value), metallic=metallic, gloss=gloss
    )


def _drawn(rng: np.random.Generator, config: AppearanceConfig, bounds: Range) -> float:
    return float(rng.uniform(*bounds) if config.hand_random else np.mean(bounds))


def _with_picture(rng: np.random.Generator, backdrop: Backdrop) -> Backdrop:
    tile = float(np.exp(rng.uniform(*np.log(PICTURE_TILE))))
    if backdrop.pattern == "flat":
        return backdrop
    return dataclasses.replace(backdrop, pattern="picture", tile=tile)
