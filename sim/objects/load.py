"""Reads the TOML file of an object."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from opendactyl.geometry.articulation import Hinge
from opendactyl.geometry.rotation import Array, quat_from_axis_angle, quat_rotate
from opendactyl.geometry.symmetry import NO_SYMMETRY, SymmetryGroup
from opendactyl.sim.assets.fields import NAME, NAME_FORM, Fields, read_toml
from opendactyl.sim.objects.body import body_values, fields_of_shape
from opendactyl.sim.objects.points import distances_to_surface
from opendactyl.sim.objects.source_files import Reader
from opendactyl.sim.objects.spec import ObjectSpec, Part

OBJECT_KEYS = ("unit", "symmetry", "part")
PART_KEYS = ("position", "hinge")
HINGE_KEYS = ("axis", "anchor", "limits", "rest", "damping", "friction")
UNITS = {"m": 1.0, "mm": 1e-3}
DAMPING, FRICTION = 2e-4, 1e-3
"""Default damping (N m s/rad) and dry friction (N m) of a hinge."""
OFF_AXIS = 1e-3
"""Distance in metres from a hinge's axis that a keypoint of its part must exceed."""
LINE = 1e-3
"""Keypoints are on one line if they spread across it by less than this fraction of its length."""
SYMMETRY_TOLERANCE = 0.01
"""Largest distance from a rotated vertex to the surface, as a fraction of the diameter."""
CHECKED_SPINS, CHECKED_VERTICES = 7, 2000


def load_object(path: Path) -> ObjectSpec:
    """Reads an object file; `docs/objects.md` describes the keys.

    Raises:
        InputError: a file is missing, or a value is wrong or inconsistent.
        EnvironmentFailure: the disk failed.
    """
    table = read_toml(path, "object")
    reader = Reader(path)
    fields = fields_of_shape(table, f"object {path}", OBJECT_KEYS)
    name = fields.text("name", path.stem)
    if not NAME.fullmatch(name):
        raise fields.wrong("name", NAME_FORM)
    unit = UNITS[fields.choice("unit", UNITS, "m")]
    reader.add(path, f"{name}.toml")
    values = body_values(fields, unit, reader)
    symmetry = _symmetry(fields)
    body = ObjectSpec(name=name, **values, symmetry=symmetry)
    spread = np.linalg.svd(body.keypoints - body.keypoints.mean(axis=0), compute_uv=False)
    if spread[1] < LINE * spread[0]:
        raise fields.wrong("keypoints", "points that do not lie on one line, which has no pose")
    _check_symmetry(symmetry, body.triangles, fields)
    return replace(body, attached=_attached(body, fields, unit, reader), files=reader.files())


def _attached(body: ObjectSpec, fields: Fields, unit: float, reader: Reader) -> tuple[Part, ...]:
    """The parts of an articulated object."""
    tables = fields.tables("part")
    if tables and not body.symmetry.is_trivial:
        raise fields.error("an object with parts cannot have a symmetry; remove [symmetry]")
    found, first = [], len(body.keypoints)
    for number, table in enumerate(tables):
        part = _part(table, f"{fields.where}, part {number + 1}", first, unit, reader)
        if part.body.name in (body.name, *(other.body.name for other in found)):
            raise fields.error(f"two parts are named {part.body.name!r}; rename one")
        first = part.hinge.keypoints[1]
        found.append(part)
    return tuple(found)


def _part(table: dict[str, Any], where: str, first: int, unit: float, reader: Reader) -> Part:
    """A part whose keypoints follow the `first` ones of the object."""
    fields = fields_of_shape(table, where, PART_KEYS)
    name = fields.text("name")
    if not NAME.fullmatch(name):
        raise fields.wrong("name", NAME_FORM)
    body = ObjectSpec(name=name, **body_values(fields, unit, reader))
    position = unit * np.array(fields.triple("position", (0.0, 0.0, 0.0)))
    own = fields.table("hinge", HINGE_KEYS)
    direction, form = np.array(own.triple("axis")), "three numbers, not all zero"
    if not direction.any():
        raise own.wrong("axis", form)
    axis = direction / np.linalg.norm(direction)
    anchor = unit * np.array(own.triple("anchor")) if "anchor" in own else position
    arms = np.cross(body.keypoints + position - anchor, axis)
    if np.linalg.norm(arms, axis=1).max() < OFF_AXIS:
        raise fields.error(
            "its keypoints lie on the axis of its hinge, so that they do not show its angle; "
            "give keypoints beside the axis"
        )
    limits, rest = _limits(own)
    hinge = Hinge(name, tuple(axis.tolist()), tuple(anchor.tolist()),
                  (first, first + len(body.keypoints)), limits, rest)  # fmt: skip
    return Part(body, position, hinge, own.not_negative("damping", DAMPING),
                own.not_negative("friction", FRICTION))  # fmt: skip


def _limits(fields: Fields) -> tuple[tuple[float, float] | None, float]:
    """Limits and resting angle in radians."""
    rest = fields.number("rest", 0.0)
    if "limits" not in fields:
        return None, float(np.deg2rad(rest))
    form = "two angles from -180 to 180 degrees, the lower one first"
    low, high = fields.numbers("limits", 2, form)
    if not -180 <= low < high <= 180:
        raise fields.wrong("limits", form)
    if not low <= rest <= high:
        raise fields.error(
            f"rest is {rest:g} degrees, outside of the limits from {low:g} to {high:g} degrees; "
            "correct rest or limits"
        )
    low, high, rest = np.deg2rad([low, high, rest]).tolist()
    return (low, high), rest


def _symmetry(fields: Fields) -> SymmetryGroup:
    table = fields.get("symmetry")
    if table is None:
        return NO_SYMMETRY
    if not isinstance(table, dict):
        raise fields.wrong("symmetry", "a table [symmetry] with axis or rotations")
    group = Fields(table, f"{fields.where}, symmetry", ("axis", "rotations"))
    form = "a list of {axis = [x, y, z], degrees = d}"
    generators = []
    rotations = group.get("rotations") or []
    if not isinstance(rotations, list) or not all(isinstance(r, dict) for r in rotations):
        raise group.wrong("rotations", form)
    for number, rotation in enumerate(rotations):
        entry = Fields(rotation, f"{group.where}, rotation {number + 1}", ("axis", "degrees"))
        axis = entry.numbers("axis", 3, "three numbers")
        generators.append(quat_from_axis_angle(axis, np.deg2rad(entry.positive("degrees"))))
    axis = group.numbers("axis", 3, "three numbers") if "axis" in group else None
    try:
        return SymmetryGroup.generated(np.array(generators).reshape(-1, 4), axis)
    except ValueError as error:
        raise group.error(f"{error}; correct axis or rotations") from error


def _check_symmetry(group: SymmetryGroup, triangles: Array, fields: Fields) -> None:
    """Checks that rotated vertices lie on the surface."""
    if group.is_trivial:
        return
    vertices = np.unique(triangles.reshape(-1, 3), axis=0)
    vertices = vertices[:: max(len(vertices) // CHECKED_VERTICES, 1)]
    diameter = 2 * np.linalg.norm(vertices - vertices.mean(axis=0), axis=1).max()
    for rotation in group.samples(CHECKED_SPINS):
        gap = distances_to_surface(quat_rotate(rotation, vertices), triangles).max()
        if gap > SYMMETRY_TOLERANCE * diameter:
            angle = np.rad2deg(2 * np.arccos(np.clip(rotation[0], -1, 1)))
            raise fields.error(
                f"its symmetry is wrong: rotated by {angle:.0f}° about "
                f"{np.round(rotation[1:], 2).tolist()}, a vertex is {1000 * gap:.1f} mm off the "
                "surface; correct [symmetry], or the origin, through which its axes pass"
            )
