"""The shipped objects. A new entry in `OBJECTS` is available in every command."""

import numpy as np
from numpy.typing import ArrayLike

from opendactyl.core.errors import InputError
from opendactyl.sim.objects.spec import Face, ObjectSpec, face_frame


def _block() -> ObjectSpec:
    """D18's block: 57 mm, 78 g, the letters O, P, E, N, A, I on six coloured faces.

    Size, mass and colours are those of robogym, whose comments state that the colours were picked
    from camera images.
    """
    half = 0.0285
    signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=float)
    axes = np.eye(3)
    # Letter, colour, outward normal, upward direction of the letter.
    table = (
        ("O", (0.09, 0.12, 0.45), axes[2], axes[0]),
        ("P", (0.33, 0.04, 0.02), axes[0], axes[2]),
        ("E", (0.70, 0.62, 0.09), axes[1], axes[2]),
        ("N", (0.29, 0.54, 0.00), -axes[0], axes[1]),
        ("A", (0.62, 0.33, 0.00), -axes[1], -axes[0]),
        ("I", (0.13, 0.10, 0.27), -axes[2], axes[1]),
    )
    faces = tuple(
        Face(letter, rgb, face_frame(half * normal, up), (half, half))
        for letter, rgb, normal, up in table
    )
    return ObjectSpec("block", 0.078, half * signs, faces, is_box=True)


def _prism() -> ObjectSpec:
    """An octagonal prism after D18 6.2, which does not state its size.

    54 mm across flats and 66 mm long, with the block's density: comparable to the block in size and
    mass.
    """
    apothem, half_length, density = 0.027, 0.033, 421.0
    circumradius = apothem / np.cos(np.pi / 8)
    angles = np.pi / 8 + np.arange(8) * np.pi / 4
    ring = circumradius * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    corners = np.concatenate(
        [np.column_stack([ring, np.full(8, z)]) for z in (-half_length, half_length)]
    )
    half_width = apothem * np.tan(np.pi / 8)
    z = np.array([0.0, 0.0, 1.0])
    colours = (
        (0.33, 0.04, 0.02), (0.70, 0.62, 0.09), (0.29, 0.54, 0.00), (0.62, 0.33, 0.00),
        (0.09, 0.12, 0.45), (0.10, 0.45, 0.45), (0.45, 0.10, 0.40), (0.70, 0.30, 0.40),
    )  # fmt: skip
    sides = tuple(
        Face(
            letter,
            rgb,
            face_frame(apothem * np.array([np.cos(a), np.sin(a), 0.0]), z),
            (half_width, half_length),
        )
        for letter, rgb, a in zip("OPENAILT", colours, np.arange(8) * np.pi / 4, strict=True)
    )
    inner = apothem / np.sqrt(2)
    caps = tuple(
        Face(letter, rgb, face_frame(sign * half_length * z, np.array([1.0, 0, 0])), (inner, inner))
        for letter, rgb, sign in (("F", (0.13, 0.10, 0.27), 1.0), ("H", (0.05, 0.30, 0.10), -1.0))
    )
    area = 8 * apothem * half_width
    return ObjectSpec(
        "prism", density * area * 2 * half_length, corners, sides + caps, is_box=False
    )


OBJECTS: dict[str, ObjectSpec] = {spec.name: spec for spec in (_block(), _prism())}
"""The objects by name."""


def object_spec(name: str) -> ObjectSpec:
    """The object of a given name.

    Raises:
        InputError: no such object.
    """
    if name not in OBJECTS:
        raise InputError(f"no object {name!r}; the objects are {', '.join(OBJECTS)}")
    return OBJECTS[name]


def object_of(keypoints: ArrayLike) -> str | None:
    """Name of the shipped object with the given keypoints (K + F, 3), or None."""
    points = np.asarray(keypoints)
    for name, spec in OBJECTS.items():
        if spec.keypoints.shape == points.shape and np.allclose(spec.keypoints, points, atol=1e-6):
            return name
    return None
