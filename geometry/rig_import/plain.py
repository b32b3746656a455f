"""Plain JSON (or YAML): `cameras`, a list of tables with keys named after what they hold."""

from typing import Any

from opendactyl.core.errors import InputError
from opendactyl.geometry.camera import check_keys
from opendactyl.geometry.distortion import Distortion
from opendactyl.geometry.rig_import.calibration import (
    Calibration,
    Document,
    FoundCamera,
    field,
    image_size,
    intrinsics,
    inverse,
    matrix_pose,
    numbers,
    quaternion_pose,
    required,
)
from opendactyl.geometry.rotation import Array

CAMERA_KEYS = (
    "name", "width", "height", "K", "fx", "fy", "cx", "cy", "distortion", "cam_from_world",
    "world_from_cam",
)  # fmt: skip
"""Keys of a camera's table."""
PIXEL_CENTRES = (0.0, 0.5)
"""Valid values of `pixel_centre`: the coordinate of the first pixel's centre."""


def recognises(document: Document) -> bool:
    """Whether a document is a calibration of this format."""
    return isinstance(document.content, dict) and isinstance(document.content.get("cameras"), list)


def read(documents: list[Document]) -> Calibration:
    """Reads the cameras.

    Raises:
        InputError: a key is missing, or its value has another form.
    """
    for document in documents:
        check_keys(document.content, ("units", "pixel_centre", "cameras"), str(document.path))
    units = {document.content.get("units") for document in documents}
    centres = {document.content.get("pixel_centre", 0.0) for document in documents}
    if len(units) > 1 or len(centres) > 1:
        raise InputError("the files differ in units or pixel_centre; import them one by one")
    (unit,), (centre,) = units, centres
    if unit not in (None, "m", "mm"):
        raise InputError(f"{documents[0].path}: units is {unit!r}; it must be 'm' or 'mm'")
    if centre not in PIXEL_CENTRES:
        raise InputError(f"{documents[0].path}: pixel_centre is {centre!r}; it must be 0 or 0.5")
    cameras = [
        _camera(table, f"{document.path}: camera {number}")
        for document in documents
        for number, table in enumerate(document.content["cameras"])
    ]
    return Calibration(
        cameras=tuple(cameras),
        directions="cam_from_world or world_from_cam, as the key says; quaternions w, x, y, z "
        "(quaternion_xyzw: x, y, z, w)",
        world="the file's world",
        unit=unit,
        pixel_shift=0.5 - centre,
    )


def _camera(table: Any, where: str) -> FoundCamera:
    name = str(required(table, ("name",), where))
    check_keys(table, CAMERA_KEYS, where)
    has_size = "width" in table or "height" in table
    if "K" in table:
        K = field(table, ("K",), (3, 3), where)
    else:
        values = [required(table, (key,), f"{where}: K") for key in ("fx", "fy", "cx", "cy")]
        K = intrinsics(*numbers(values, (4,), f"{where}: fx, fy, cx, cy"))
    return FoundCamera(
        name=name,
        where=where,
        size=image_size(table, where) if has_size else None,
        K=K,
        cam_from_world=_pose(table, where),
        distortion=_distortion(table.get("distortion"), where),
    )


def _pose(table: dict[str, Any], where: str) -> Array:
    if "cam_from_world" in table:
        return named_pose(table["cam_from_world"], f"{where}: cam_from_world")
    value = required(table, ("world_from_cam", "cam_from_world"), where)
    return inverse(named_pose(value, f"{where}: world_from_cam"), f"{where}: world_from_cam")


def named_pose(value: Any, where: str) -> Array:
    """A pose (4, 4) from a 4×4 matrix, or a table with position and quaternion.

    Raises:
        InputError: it is something else.
    """
    if not isinstance(value, dict):
        return matrix_pose(value, where)
    position = required(value, ("position",), where)
    if "quaternion_xyzw" in value:
        x, y, z, w = field(value, ("quaternion_xyzw",), (4,), where)
        return quaternion_pose(position, [w, x, y, z], where)
    return quaternion_pose(position, required(value, ("quaternion",), where), where)


def _distortion(value: Any, where: str) -> Distortion:
    if value is None:
        return Distortion()
    try:
        if isinstance(value, dict):
            check_keys(value, ("model", "coefficients"), "distortion")
        return Distortion.from_dict(value)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f'{where}: distortion must be {{"model": …, "coefficients": […]}}'
        ) from error
