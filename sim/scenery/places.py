"""Where the object of a scene is: the volume and the mixture of states of its file."""

import math

from opendactyl.sim.assets.fields import Fields
from opendactyl.sim.hands.shipped import HANDS
from opendactyl.sim.scenery.spec import Volume

SHAPES = {
    "box": ("low", "high"),
    "disc": ("centre", "radius", "height"),
    "palm": ("hand", "position"),
}
"""Shapes of a volume, and the keys of each."""
DEFAULT_VOLUME = Volume(low=(-0.15, -0.15, 0.0), high=(0.15, 0.15, 0.2), radius=0.15)
MIXTURE = {"lying": 0.5, "lifted": 0.25, "free": 0.25}
"""Kinds of states, and their fractions where a scene states none."""


def load_volume(fields: Fields) -> Volume:
    """Reads `[volume]`; raises an `InputError` for wrong values."""
    if "volume" not in fields:
        return DEFAULT_VOLUME
    known = ("shape", *(key for keys in SHAPES.values() for key in keys))
    shape = fields.table("volume", known).choice("shape", SHAPES)
    table = fields.table("volume", ("shape", *SHAPES[shape]))
    if shape == "box":
        volume = Volume(low=table.triple("low"), high=table.triple("high"))
    elif shape == "disc":
        volume = _disc(table)
    else:
        low, high = HANDS[table.choice("hand", HANDS)].object_positions
        x, y, z = table.triple("position", (0.0, 0.0, 0.0))
        volume = Volume(
            low=(low[0] + x, low[1] + y, low[2] + z), high=(high[0] + x, high[1] + y, high[2] + z)
        )
    if not all(a < b for a, b in zip(volume.low, volume.high, strict=True)):
        raise table.error(
            f"the volume from {list(volume.low)} to {list(volume.high)} is empty; give the lowest, "
            "then the highest values, in metres"
        )
    return volume


def _disc(table: Fields) -> Volume:
    form = "two numbers in metres"
    x, y = table.numbers("centre", 2, form) if "centre" in table else (0.0, 0.0)
    low, high = table.numbers("height", 2, f"{form}: the lowest and the highest height")
    r = table.positive("radius")
    return Volume(low=(x - r, y - r, low), high=(x + r, y + r, high), radius=r)


def load_mixture(fields: Fields) -> dict[str, float]:
    """Reads `[states]`; raises an `InputError` for fractions that do not sum to 1."""
    if "states" not in fields:
        return dict(MIXTURE)
    table = fields.table("states", tuple(MIXTURE))
    fractions = {name: table.number(name, 0.0) for name in MIXTURE}
    if min(fractions.values()) < 0 or not math.isclose(sum(fractions.values()), 1, abs_tol=1e-6):
        given = ", ".join(f"{name} = {value:g}" for name, value in fractions.items())
        raise table.error(f"the fractions are {given}; they must not be negative, and sum to 1")
    return fractions
