"""Reads the TOML file of an object."""

import re
import tomllib
from pathlib import Path
from typing import Any

import numpy as np

from opendactyl.core.errors import InputError, file_error
from opendactyl.geometry.rotation import Array, quat_from_axis_angle, quat_rotate
from opendactyl.geometry.symmetry import NO_SYMMETRY, SymmetryGroup
from opendactyl.sim.assets.fields import Fields, is_vector
from opendactyl.sim.objects.mesh_object import MESH_KEYS, mesh_shape
from opendactyl.sim.objects.points import distances_to_surface, farthest_points
from opendactyl.sim.objects.solids import FACE_KEYS, SHAPES, mass_of
from opendactyl.sim.objects.source_files import Reader
from opendactyl.sim.objects.spec import ObjectSpec

COMMON_KEYS = ("name", "shape", "unit", "mass", "density", "friction", "rgb", "keypoints",
               "symmetry")  # fmt: skip
UNITS = {"m": 1.0, "mm": 1e-3}
KEYPOINTS = 16
"""Default number of keypoints of a cylinder or mesh."""
LARGEST, SMALLEST = 1.0, 0.002
"""Lengths in metres beyond which an object is taken to have the wrong unit."""
SYMMETRY_TOLERANCE = 0.01
"""Largest distance from a rotated vertex to the surface, as a fraction of the diameter."""
CHECKED_SPINS, CHECKED_VERTICES = 7, 2000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def load_object(path: Path) -> ObjectSpec:
    """Reads an object file; `docs/objects.md` describes the keys.

    Raises:
        InputError: a file is missing, or a value is wrong or inconsistent.
        EnvironmentFailure: the disk failed.
    """
    table = _read(path)
    where = f"object {path}"
    shape = Fields(table, where, tuple(table)).choice("shape", (*SHAPES, "mesh"))
    own = MESH_KEYS if shape == "mesh" else (*SHAPES[shape][1], "face")
    fields = Fields(table, where, (*COMMON_KEYS, *own))
    name = fields.text("name", path.stem)
    if not _NAME.fullmatch(name):
        raise fields.wrong("name", "letters, digits, _ and -, since it names files")
    unit = UNITS[fields.choice("unit", UNITS, "m")]
    reader = Reader(path)
    reader.add(path, f"{name}.toml")
    if shape == "mesh":
        values = mesh_shape(fields, unit, reader)
    else:
        values = _solid(fields, unit, shape, reader)
    values |= {"friction": _friction(fields), "symmetry": _symmetry(fields)}
    offset, scale = values.pop("placement")
    triangles = ObjectSpec(name=name, **{"corners": np.empty((0, 3)), **values}).triangles
    _check_size(triangles, fields)
    if "keypoints" in fields or shape in ("cylinder", "mesh"):
        corners = _keypoints(fields, triangles, offset, scale)
        values |= {"corners": corners, "has_own_keypoints": True}
    _check_symmetry(values["symmetry"], triangles, fields)
    return ObjectSpec(name=name, **values, files=reader.files())


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        raise file_error(f"cannot read the object {path}", error, "correct --object") from error
    except ValueError as error:
        raise InputError(f"object {path} is not valid TOML ({error})") from error


def _solid(fields: Fields, unit: float, name: str, reader: Reader) -> dict[str, Any]:
    """The values of `ObjectSpec` for a box, prism or cylinder, and `placement` as of a mesh."""
    entries = fields.get("face") or []
    if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        raise fields.wrong("face", "tables [[face]]")
    tables = [
        Fields(entry, f"{fields.where}, face {n + 1}", FACE_KEYS) for n, entry in enumerate(entries)
    ]
    shape = SHAPES[name][0](fields, unit, tables, reader.texture)
    mass = mass_of(fields, shape.area, shape.length)
    radius_length = None
    if name == "cylinder":
        radius_length = (float(shape.corners[:, 0].max()), shape.length / 2)
    return {"mass": mass, "corners": shape.corners, "faces": shape.faces,
            "surfaces": shape.surfaces, "is_box": name == "box", "cylinder": radius_length,
            "outline": shape.corners, "placement": (np.zeros(3), unit)}  # fmt: skip


def _keypoints(fields: Fields, triangles: Array, offset: Array, scale: float) -> Array:
    """The given keypoints, in the coordinates of the file, or the farthest points."""
    given = fields.get("keypoints")
    if not isinstance(given, list):
        return farthest_points(triangles, fields.count("keypoints", 4, 64, KEYPOINTS))
    if not 4 <= len(given) <= 64 or not all(is_vector(point, 3) for point in given):
        raise fields.wrong("keypoints", "4 to 64 points [x, y, z], or their number")
    return (np.array(given, dtype=np.float64) - offset) * scale


def _friction(fields: Fields) -> tuple[float, ...] | None:
    value = fields.get("friction")
    if value is None:
        return None
    if isinstance(value, list):
        form = "one number, or three: sliding, torsional, rolling"
        numbers = fields.numbers("friction", 3, form)
        if min(numbers) < 0:
            raise fields.wrong("friction", form)
        return numbers
    return (fields.positive("friction"),)


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


def _check_size(triangles: Array, fields: Fields) -> None:
    extent = float(np.ptp(triangles.reshape(-1, 3), axis=0).max())
    unit = fields.get("unit") or "m"
    other = "mm" if unit == "m" else "m"
    if extent > LARGEST or extent < SMALLEST:
        size = f"{extent:.3g} m" if extent > LARGEST else f"{1000 * extent:.3g} mm"
        raise fields.error(
            f'the object is {size} long with unit = "{unit}"; if its lengths are in {other}, write '
            f'unit = "{other}", or correct its size'
        )


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
