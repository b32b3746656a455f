"""Boxes, prisms and cylinders: corners, faces and volume from the keys of an object's file."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from opendactyl.sim.assets.fields import Fields
from opendactyl.sim.objects.letters import STROKES
from opendactyl.sim.objects.spec import WHITE, Array, Face, Rgb, Surface, face_frame

FACE_KEYS = ("side", "up", "letter", "rgb", "texture")
PLAIN: Rgb = (0.6, 0.6, 0.6)
"""Colour of what has none."""
SEGMENTS = 64
"""Sides of a drawn cylinder."""
_AXES = {
    f"{sign}{name}": (1.0 if sign == "+" else -1.0) * axis
    for name, axis in zip("xyz", np.eye(3), strict=True)
    for sign in "+-"
}
"""The six directions along the axes by name."""

ReadTexture = Callable[[str], NDArray[np.uint8]]
"""Loads the image (H, W, 3) of a texture."""


class Shape(NamedTuple):
    """What distinguishes a shape, in metres."""

    corners: Array
    """Vertices (K, 3); for a cylinder, those of its drawn polygons."""
    faces: tuple[Face, ...]
    surfaces: tuple[Surface, ...]
    area: float
    """Area of the cross-section; times `length`, the volume."""
    length: float


class _Blank(NamedTuple):
    """A face before it is given colours and a letter."""

    centre: Array
    up: Array | None
    """The upward direction of a letter; None: the file must state it."""
    half_size: Callable[[Array], tuple[float, float]]
    """Half size of the lettered rectangle for an upward direction."""
    radius: float = 0.0


def box(fields: Fields, unit: float, entries: list[Fields], texture: ReadTexture) -> Shape:
    """A box of `size` along its axes."""
    size = fields.numbers("size", 3, "three positive lengths along x, y and z")
    if min(size) <= 0:
        raise fields.wrong("size", "three positive lengths along x, y and z")
    half = [unit * side / 2 for side in size]
    signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=float)

    def blank(normal: Array) -> _Blank:
        def half_size(up: Array) -> tuple[float, float]:
            across = np.abs(np.cross(up, normal))
            return half[int(across.argmax())], half[int(np.abs(up).argmax())]

        return _Blank(half[int(np.abs(normal).argmax())] * normal, None, half_size)

    faces, surfaces = _faces(
        entries, {side: blank(axis) for side, axis in _AXES.items()}, texture, fields
    )
    return Shape(np.array(half) * signs, faces, surfaces, 4 * half[0] * half[1], 2 * half[2])


def prism(fields: Fields, unit: float, entries: list[Fields], texture: ReadTexture) -> Shape:
    """A regular prism about z with `sides` sides, the first of which faces +x."""
    n = fields.count("sides", 3, 32)
    apothem = unit * fields.positive("across_flats") / 2
    half_length = unit * fields.positive("length") / 2
    circumradius = apothem / np.cos(np.pi / n)
    angles = np.pi / n + np.arange(n) * (2 * np.pi / n)
    ring = circumradius * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    corners = np.concatenate(
        [np.column_stack([ring, np.full(n, z)]) for z in (-half_length, half_length)]
    )
    half_width = apothem * np.tan(np.pi / n)
    z = np.array([0.0, 0.0, 1.0])
    blanks = {
        str(number): _Blank(
            apothem * np.array([np.cos(a), np.sin(a), 0.0]), z, lambda _: (half_width, half_length)
        )
        for number, a in enumerate(np.arange(n) * (2 * np.pi / n))
    }
    inner = apothem / np.sqrt(2)
    faces, surfaces = _faces(
        entries, blanks | _ends(half_length, lambda _: (inner, inner)), texture, fields
    )
    return Shape(corners, faces, surfaces, n * apothem * half_width, 2 * half_length)


def cylinder(fields: Fields, unit: float, entries: list[Fields], texture: ReadTexture) -> Shape:
    """A cylinder about z: its ends are faces, its side is a surface."""
    radius = unit * fields.positive("diameter") / 2
    half_length = unit * fields.positive("length") / 2
    inner = radius / np.sqrt(2)
    blanks = _ends(half_length, lambda _: (inner, inner), radius)
    on_ends = [entry for entry in entries if entry.get("side") != "side"]
    faces, surfaces = _faces(on_ends, blanks, texture, fields)
    sides = [entry for entry in entries if entry.get("side") == "side"]
    if len(sides) > 1:
        raise sides[1].error("side 'side' is given twice")
    side = sides[0] if sides else None
    rgb, image = fields.colour("rgb", PLAIN), None
    if side is not None:
        if "letter" in side:
            raise side.error("a letter needs a flat face; the side of a cylinder takes a texture")
        image = texture(side.text("texture")) if "texture" in side else None
        rgb = side.colour("rgb", WHITE if image is not None else rgb)
    angles = 2 * np.pi * np.arange(SEGMENTS + 1) / SEGMENTS
    ring = radius * np.column_stack([np.cos(angles), np.sin(angles)])
    vertices = np.concatenate(
        [np.column_stack([ring, np.full(len(ring), z)]) for z in (-half_length, half_length)]
    )
    first = np.arange(SEGMENTS)
    above = first + len(ring)
    triangles = np.concatenate(
        [np.stack([first, first + 1, above + 1], -1), np.stack([first, above + 1, above], -1)]
    )
    uv = np.concatenate(
        [np.column_stack([angles / (2 * np.pi), np.full(len(ring), v)]) for v in (0.0, 1.0)]
    )
    tube = Surface(vertices, triangles, rgb, image, uv, triangles)
    return Shape(vertices, faces, (tube, *surfaces), np.pi * radius**2, 2 * half_length)


def mass_of(fields: Fields, *volume: float) -> float:
    """The mass that the file gives, or that of its density and the volume.

    The factors of the volume are multiplied from the left: labels depend on the last bit.
    """
    if "density" not in fields:
        return fields.positive("mass")
    if "mass" in fields:
        raise fields.error("mass and density are given; remove one")
    return math.prod((fields.positive("density"), *volume))


SHAPES: dict[str, tuple[Callable[..., Shape], tuple[str, ...]]] = {
    "box": (box, ("size",)),
    "prism": (prism, ("sides", "across_flats", "length")),
    "cylinder": (cylinder, ("diameter", "length")),
}
"""The function and the keys of each shape."""


def _ends(
    half_length: float, half_size: Callable[[Array], tuple[float, float]], radius: float = 0.0
) -> dict[str, _Blank]:
    z, x = np.array([0.0, 0.0, 1.0]), np.array([1.0, 0.0, 0.0])
    return {
        side: _Blank(sign * half_length * z, x, half_size, radius)
        for side, sign in (("+z", 1.0), ("-z", -1.0))
    }


def _faces(
    entries: list[Fields], blanks: dict[str, _Blank], texture: ReadTexture, fields: Fields
) -> tuple[tuple[Face, ...], tuple[Surface, ...]]:
    """Faces in the order of the file, then plain ones; and the surfaces of those with a texture."""
    left, rgb = dict(blanks), fields.colour("rgb", PLAIN)
    faces, surfaces = [], []
    for entry in entries:
        side = str(entry.get("side"))
        if side not in left:
            known = ", ".join(blanks)
            again = "is given twice" if side in blanks else f"does not exist; use {known}"
            raise entry.error(f"side {side!r} {again}")
        image = texture(entry.text("texture")) if "texture" in entry else None
        face = _face(entry, left.pop(side), rgb, image is not None)
        faces.append(face)
        if image is not None:
            surfaces.append(_cover(face, image, entry.colour("rgb", WHITE)))
    for blank in left.values():
        up = blank.up if blank.up is not None else np.roll(np.abs(np.sign(blank.centre)), 1)
        faces.append(Face("", rgb, face_frame(blank.centre, up), blank.half_size(up),
                          radius=blank.radius))  # fmt: skip
    return tuple(faces), tuple(surfaces)


def _face(entry: Fields, blank: _Blank, rgb: Rgb, textured: bool) -> Face:
    letter = entry.text("letter") if "letter" in entry else ""
    if letter and letter not in STROKES:
        raise entry.error(f"letter is {letter!r}; the letters are {', '.join(STROKES)}")
    up = blank.up
    if "up" in entry or up is None:
        up = _AXES[entry.choice("up", _AXES, None if letter or textured else _any_up(blank))]
    if abs(up @ blank.centre) > 1e-6 * np.linalg.norm(blank.centre):
        raise entry.wrong("up", "an axis in the plane of the face")
    return Face(
        letter,
        entry.colour("rgb", rgb),
        face_frame(blank.centre, up),
        blank.half_size(up),
        radius=blank.radius,
        textured=textured,
    )


def _any_up(blank: _Blank) -> str:
    return next(name for name, axis in _AXES.items() if abs(axis @ blank.centre) < 1e-12)


def _cover(face: Face, image: NDArray[Any], rgb: Rgb) -> Surface:
    """The rectangle or disc that shows the texture of a face; the image's top is the face's."""
    if face.radius:
        angles = 2 * np.pi * np.arange(SEGMENTS) / SEGMENTS
        plane = np.column_stack([np.cos(angles), np.sin(angles)])
        half = np.array([face.radius, face.radius])
    else:
        plane = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
        half = np.array(face.half_size)
    flat = np.column_stack([plane * half, np.zeros(len(plane))])
    vertices = flat @ face.frame[:3, :3].T + face.frame[:3, 3]
    last = np.arange(1, len(plane) - 1)
    triangles = np.stack([np.zeros_like(last), last, last + 1], axis=-1)
    return Surface(vertices, triangles, rgb, image, (plane + 1) / 2, triangles)
