"""What the reader of every format returns, and the parsing that the readers share."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from opendactyl.core.errors import InputError
from opendactyl.geometry.distortion import BROWN_CONRADY, COUNTS, KANNALA_BRANDT, Distortion
from opendactyl.geometry.rotation import Array, quat_canonical
from opendactyl.geometry.transforms import pose_matrix

Unit = Literal["m", "mm"]
MAX_CAMERAS = 32
"""Largest number of cameras of a rig, for formats with an entry for each image of a sequence."""


@dataclass(frozen=True)
class Document:
    """A calibration file, parsed as far as its syntax goes."""

    path: Path
    """The file."""
    content: Any
    """Its JSON or YAML content; the text of a `.txt` file."""


@dataclass(frozen=True, eq=False)
class FoundCamera:
    """A camera as the file states it."""

    name: str
    """Its name in the file, or the file's name."""
    where: str
    """File and entry, for messages."""
    size: tuple[int, int] | None
    """Image width and height in pixels, where the file has them."""
    K: Array
    """Intrinsics (3, 3) in the format's pixel coordinates."""
    cam_from_world: Array
    """Pose (4, 4) as stated, or its inverse: the rotation may be inexact."""
    distortion: Distortion = Distortion()
    """The lens."""


@dataclass(frozen=True)
class Calibration:
    """The cameras of one or several files."""

    cameras: tuple[FoundCamera, ...]
    """The cameras, in the order of the files."""
    directions: str
    """Which way the format's poses map, and the order of its quaternions."""
    world: str
    """What the world frame is."""
    unit: Unit | None = None
    """The unit of length that the format prescribes; None if it prescribes none."""
    pixel_shift: float = 0.5
    """What is added to pixel coordinates: 0.5 for a format with pixel centres at whole numbers."""


def required(table: Any, keys: Iterable[str], where: str) -> Any:
    """The value of the first of several keys that a table has.

    Raises:
        InputError: it has none of them.
    """
    keys = tuple(keys)
    if not isinstance(table, dict):
        raise InputError(f"{where} is not a table of keys and values")
    for key in keys:
        if key in table:
            return table[key]
    raise InputError(f"{where} has no {keys[0]}{_others(keys[1:])}; add it")


def _others(keys: tuple[str, ...]) -> str:
    return f" (or {', '.join(keys)})" if keys else ""


def numbers(value: Any, shape: tuple[int, ...] | None, where: str) -> Array:
    """An array of finite numbers from nested lists, a flat list or OpenCV's rows, cols and data.

    Args:
        value: the content of a file.
        shape: the expected shape; None for a vector of any length.
        where: the entry, for messages.

    Raises:
        InputError: it is something else.
    """
    try:
        if isinstance(value, dict):
            data = np.array(value["data"], dtype=np.float64).ravel()
            array = data.reshape(int(value["rows"]), int(value["cols"]))
        else:
            array = np.array(value, dtype=np.float64)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{where} is not a matrix or list of numbers: {error}") from error
    if not np.all(np.isfinite(array)):
        raise InputError(f"{where} has a number that is not finite")
    if shape is None:
        return array.ravel()
    vector = array.ndim == 1 or len(shape) == 1
    if array.size != np.prod(shape) or (array.shape != shape and not vector):
        found, wanted = ("×".join(map(str, size)) for size in (array.shape, shape))
        raise InputError(f"{where} has the shape {found}; it must be {wanted}")
    return array.reshape(shape)


def whole(value: Any, where: str) -> int:
    """A whole number.

    Raises:
        InputError: it is something else.
    """
    (number,) = numbers(value, (1,), where)
    if number != int(number):
        raise InputError(f"{where} is {value}; it must be a whole number")
    return int(number)


def field(table: Any, keys: tuple[str, ...], shape: tuple[int, ...], where: str) -> Array:
    """The numbers under the first of several keys that a table has.

    Raises:
        InputError: it has none of them, or the value has another form.
    """
    return numbers(required(table, keys, where), shape, f"{where}: {keys[0]}")


def image_size(
    table: Any,
    where: str,
    keys: tuple[tuple[str, ...], tuple[str, ...]] = (("width",), ("height",)),
) -> tuple[int, int]:
    """Image width and height in pixels, each under the first of its keys that a table has.

    Raises:
        InputError: one is missing, or not a whole number.
    """
    width, height = (whole(required(table, k, where), f"{where}: {k[0]}") for k in keys)
    return width, height


def resolution(values: Array, where: str) -> tuple[int, int]:
    """Image width and height in pixels from two numbers.

    Raises:
        InputError: one is not a whole number.
    """
    width, height = (whole(value, where) for value in values)
    return width, height


def intrinsics(fx: float, fy: float, cx: float, cy: float) -> Array:
    """Intrinsics (3, 3)."""
    return np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])


def rigid(rotation: Array, translation: Array) -> Array:
    """The 4×4 matrix of a rotation matrix (3, 3) and a translation (3,)."""
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, translation
    return pose


def matrix_pose(value: Any, where: str) -> Array:
    """A pose (4, 4) from a 4×4 or 3×4 matrix.

    Raises:
        InputError: it is something else.
    """
    if isinstance(value, list) and len(value) == 3:
        return np.vstack([numbers(value, (3, 4), where), [0.0, 0.0, 0.0, 1.0]])
    pose = numbers(value, (4, 4), where)
    if not np.allclose(pose[3], [0, 0, 0, 1]):
        raise InputError(f"{where} has the last row {pose[3].tolist()}; it must be [0, 0, 0, 1]")
    return pose


def quaternion_pose(position: Any, quaternion_wxyz: Any, where: str) -> Array:
    """A pose (4, 4) from a position (3,) and a quaternion (4,) in the order w, x, y, z.

    Raises:
        InputError: one has another shape, or the quaternion does not have unit length.
    """
    quat = numbers(quaternion_wxyz, (4,), f"{where}: quaternion")
    norm = float(np.linalg.norm(quat))
    if abs(norm - 1) > 0.01:
        raise InputError(f"{where}: the quaternion has the length {norm:.3g}; it must be 1")
    return pose_matrix(numbers(position, (3,), f"{where}: position"), quat_canonical(quat))


def inverse(pose: Array, where: str) -> Array:
    """The inverse of a pose (4, 4) whose rotation may be inexact.

    Raises:
        InputError: the matrix is singular.
    """
    try:
        return np.asarray(np.linalg.inv(pose), dtype=np.float64)
    except np.linalg.LinAlgError as error:
        raise InputError(f"{where} is singular; it must be a rotation and a translation") from error


def lens(model: str, coefficients: Any, where: str) -> Distortion:
    """A distortion from a list of coefficients in OpenCV's order.

    None or an empty list is no distortion, and so are zeros but for a fisheye lens. Coefficients
    beyond the eighth, or the fourth of a fisheye lens, must be zero.

    Raises:
        InputError: the coefficients do not fit the model.
    """
    found = [] if coefficients is None else numbers(coefficients, None, where).tolist()
    if not any(found) and (model != KANNALA_BRANDT or not found):
        return Distortion()
    if model == BROWN_CONRADY and not any(found[8:]):
        longer = next((count for count in COUNTS[model] if count >= len(found)), 8)
        found = (found + [0.0] * longer)[:longer]
    elif model == KANNALA_BRANDT and not any(found[4:]):
        found = (found + [0.0] * 4)[:4]
    try:
        return Distortion(model, tuple(found))
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
