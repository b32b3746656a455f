"""Reads what distinguishes a rigid body: its shape, mass, colours and keypoints."""

from typing import Any

import numpy as np

from opendactyl.geometry.rotation import Array
from opendactyl.sim.assets.fields import Fields, is_vector
from opendactyl.sim.objects.mesh_object import MESH_KEYS, mesh_shape
from opendactyl.sim.objects.points import farthest_points
from opendactyl.sim.objects.solids import FACE_KEYS, SHAPES, mass_of
from opendactyl.sim.objects.source_files import Reader
from opendactyl.sim.objects.spec import ObjectSpec

BODY_KEYS = ("mass", "density", "friction", "rgb", "keypoints")
KEYPOINTS = 16
"""Default number of keypoints of a cylinder or mesh."""
LARGEST, SMALLEST = 1.0, 0.002
"""Lengths in metres beyond which an object is taken to have the wrong unit."""


def fields_of_shape(table: dict[str, Any], where: str, keys: tuple[str, ...]) -> Fields:
    """The table of a body, which may have `keys` beside those of its shape."""
    shape = Fields(table, where, tuple(table)).choice("shape", (*SHAPES, "mesh"))
    own = MESH_KEYS if shape == "mesh" else (*SHAPES[shape][1], "face")
    return Fields(table, where, ("name", "shape", *keys, *BODY_KEYS, *own))


def body_values(fields: Fields, unit: float, reader: Reader) -> dict[str, Any]:
    """The values of `ObjectSpec` for a rigid body.

    Raises:
        InputError: a file is missing, or a value is wrong or inconsistent.
    """
    shape = str(fields.get("shape"))
    if shape == "mesh":
        values = mesh_shape(fields, unit, reader)
    else:
        values = _solid(fields, unit, shape, reader)
    values["friction"] = _friction(fields)
    offset, scale = values.pop("placement")
    triangles = ObjectSpec(name="", **{"corners": np.empty((0, 3)), **values}).triangles
    _check_size(triangles, unit, fields)
    if "keypoints" in fields or shape in ("cylinder", "mesh"):
        corners = _keypoints(fields, triangles, offset, scale)
        values |= {"corners": corners, "has_own_keypoints": True}
    return values


def _solid(fields: Fields, unit: float, name: str, reader: Reader) -> dict[str, Any]:
    """The values of `ObjectSpec` for a box, prism or cylinder, and `placement` as of a mesh."""
    tables = [
        Fields(entry, f"{fields.where}, face {n + 1}", FACE_KEYS)
        for n, entry in enumerate(fields.tables("face"))
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
    points = (np.array(given, dtype=np.float64) - offset) * scale
    low, high = triangles.reshape(-1, 3).min(axis=0), triangles.reshape(-1, 3).max(axis=0)
    away = np.abs(points - (low + high) / 2).max(axis=0)
    if np.any(away > high - low):
        raise fields.wrong("keypoints", "points on the object, in the unit of the file")
    return points


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


def _check_size(triangles: Array, scale: float, fields: Fields) -> None:
    extent = float(np.ptp(triangles.reshape(-1, 3), axis=0).max())
    unit, other = ("m", "mm") if scale == 1.0 else ("mm", "m")
    if extent > LARGEST or extent < SMALLEST:
        size = f"{extent:.3g} m" if extent > LARGEST else f"{1000 * extent:.3g} mm"
        raise fields.error(
            f'the object is {size} long with unit = "{unit}"; if its lengths are in {other}, write '
            f'unit = "{other}", or correct its size'
        )
