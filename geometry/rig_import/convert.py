"""Conversion of a calibration to a rig: units, exact rotations, the hand frame, pixel centres."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from opendactyl.core.errors import InputError
from opendactyl.geometry.camera import Camera, check_camera
from opendactyl.geometry.rig import MAX_DISTANCE, Rig
from opendactyl.geometry.rig_import.calibration import Calibration, FoundCamera, Unit, required
from opendactyl.geometry.rig_import.documents import read_document
from opendactyl.geometry.rig_import.plain import named_pose
from opendactyl.geometry.rotation import Array
from opendactyl.geometry.transforms import invert_pose

METRES: dict[Unit, float] = {"m": 1.0, "mm": 1e-3}
MAX_METRES, MIN_MILLIMETRES = 50.0, 10.0
"""Largest plausible distance of a camera from the world's origin in metres; smallest one of the
farthest camera in millimetres. Between 10 and 50 the numbers leave the unit open."""
MAX_CHANGE_DEG, MAX_SCALE = 5.0, 0.05
"""Largest correction of an inexact rotation: of an axis' direction, and of its length from 1."""


@dataclass(frozen=True)
class ImportOptions:
    """What the user states about a calibration."""

    unit: Unit | None = None
    """The unit of length; None recognises it."""
    names: tuple[str, ...] = ()
    """Names of the cameras in the order of the files; empty keeps those of the files."""
    hand_from_world: Path | None = None
    """A JSON or YAML file with the pose of the calibration's world in the hand frame."""
    image_size: tuple[int, int] | None = None
    """Image width and height, for formats that lack them."""


def to_rig(calibration: Calibration, name: str, options: ImportOptions) -> tuple[Rig, list[str]]:
    """The rig of a calibration, and lines that say what was decided.

    Raises:
        InputError: the unit is open or not plausible, a name or size is missing or wrong, or a
            camera is not valid.
        EnvironmentFailure: the disk failed.
    """
    unit, reason = _unit(calibration, options.unit)
    hand_from_world, frame = _hand_from_world(options.hand_from_world)
    names = _names(calibration, options.names)
    cameras, lines = [], []
    for camera, label in zip(calibration.cameras, names, strict=True):
        cam_from_world, change = exact_pose(camera)
        cam_from_world[:3, 3] *= METRES[unit]
        K = camera.K.copy()
        K[:2, 2] += calibration.pixel_shift
        size = _size(camera, K, options.image_size)
        cam_from_hand = cam_from_world @ invert_pose(hand_from_world)
        converted = Camera(label, *size, K, cam_from_hand, camera.distortion)
        try:
            check_camera(converted)
        except InputError as error:
            raise InputError(f"{camera.where}: {error}; correct the file") from error
        _check_distance(converted, camera.where)
        cameras.append(converted)
        lines.append(_describe(converted, change))
    centres = (
        "whole numbers: 0.5 added to cx and cy" if calibration.pixel_shift else "+0.5, as here"
    )
    decided = [
        f"directions  {calibration.directions}",
        f"units       {unit}: {reason}",
        f"pixels      the format has pixel centres at {centres}",
        f"world       {calibration.world}",
        f"hand frame  {frame}",
    ]
    return Rig(name, tuple(cameras)), decided + lines


def _check_distance(camera: Camera, where: str) -> None:
    distance = float(np.linalg.norm(invert_pose(camera.cam_from_hand)[:3, 3]))
    if distance > MAX_DISTANCE:
        raise InputError(
            f"{where}: the camera is {distance:.3g} m from the hand frame, and rigs have at most "
            f"{MAX_DISTANCE:g} m; give the hand's pose with --hand-from-world, or another --units"
        )


def _unit(calibration: Calibration, given: Unit | None) -> tuple[Unit, str]:
    """The unit, and why."""
    distances = [np.linalg.norm(camera.cam_from_world[:3, 3]) for camera in calibration.cameras]
    farthest = float(max(distances))
    numbers = f"the farthest camera is {farthest:.4g} from the world's origin"
    unit = given or calibration.unit
    if unit is None:
        if farthest <= MIN_MILLIMETRES:
            return "m", numbers
        if farthest > MAX_METRES:
            return "mm", numbers
        raise InputError(f"{numbers}, which may be metres or millimetres; give --units m or mm")
    if unit == "m" and farthest > MAX_METRES:
        raise InputError(f"{numbers}, which is not plausible in metres; give --units mm")
    if unit == "mm" and 0 < farthest < MIN_MILLIMETRES:
        raise InputError(f"{numbers}, which is not plausible in millimetres; give --units m")
    return unit, "as given" if given else "as the format prescribes"


def _names(calibration: Calibration, given: tuple[str, ...]) -> tuple[str, ...]:
    # Names become part of file names.
    found = tuple(re.sub(r"[^A-Za-z0-9_-]", "_", c.name) for c in calibration.cameras)
    if given and len(given) != len(found):
        raise InputError(
            f"--names has {len(given)} names for {len(found)} cameras ({', '.join(found)})"
        )
    names = given or found
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"two cameras are called {', '.join(twice)}; give others with --names")
    return names


def exact_pose(camera: FoundCamera) -> tuple[Array, float]:
    """The pose with the nearest rotation, and the largest change of an axis in degrees.

    Raises:
        InputError: the matrix is a reflection, or far from a rotation.
    """
    pose = camera.cam_from_world.copy()
    matrix = pose[:3, :3]
    left, scales, right = np.linalg.svd(matrix)
    if np.linalg.det(matrix) < 0:
        raise InputError(
            f"{camera.where}: the camera's rotation is a reflection (determinant "
            f"{np.linalg.det(matrix):.3g}); its axes must be right-handed, x right, y down, "
            "z forward: negate the axis that is flipped"
        )
    rotation = left @ right
    lengths = np.linalg.norm(matrix, axis=0)
    with np.errstate(all="ignore"):
        cosines = np.sum(matrix * rotation, axis=0) / lengths
        sines = np.linalg.norm(np.cross(matrix.T, rotation.T), axis=1) / lengths
    change = float(np.rad2deg(np.arctan2(sines, cosines)).max())
    if not change <= MAX_CHANGE_DEG or np.abs(scales - 1).max() > MAX_SCALE:
        raise InputError(
            f"{camera.where}: the camera's rotation is no rotation matrix: its axes have the "
            f"lengths {np.round(lengths, 3).tolist()} and are up to {change:.1f}° off; check that "
            "the matrix is a pose, row by row"
        )
    pose[:3, :3] = rotation
    return pose, change


def _size(camera: FoundCamera, K: Array, given: tuple[int, int] | None) -> tuple[int, int]:
    size = camera.size or given
    if size is None:
        raise InputError(f"{camera.where} has no image size; give it with --image-size W H")
    if given is not None and size != given:
        raise InputError(
            f"{camera.where} is calibrated for {size[0]}×{size[1]} pixels, not {given[0]}×"
            f"{given[1]}; leave --image-size out, and use images of the calibrated size"
        )
    if not np.all((K[:2, 2] > 0) & (K[:2, 2] < size)):
        centre = np.round(K[:2, 2], 1).tolist()
        raise InputError(
            f"{camera.where}: the principal point {centre} lies outside the image of {size[0]}×"
            f"{size[1]} pixels; give the image size at which the intrinsics were made"
        )
    return size


def _hand_from_world(path: Path | None) -> tuple[Array, str]:
    if path is None:
        return np.eye(4), "equal to the world: hand_from_world is the identity (--hand-from-world)"
    content = read_document(path).content
    if isinstance(content, dict) and "world_from_hand" in content:
        key = "world_from_hand"
    else:
        key = "hand_from_world"
    where = f"{path}: {key}"
    pose = named_pose(required(content, (key, "world_from_hand"), str(path)), where)
    exact, _ = exact_pose(FoundCamera("hand", where, None, np.eye(3), pose))
    if np.linalg.norm(exact[:3, 3]) > MAX_METRES:
        raise InputError(f"{where} has a translation of more than {MAX_METRES} m; it is in metres")
    return (exact if key == "hand_from_world" else invert_pose(exact)), f"{key} of {path}"


def _describe(camera: Camera, change: float) -> str:
    K = camera.K
    focal, centre = (f"{K[0, 0]:.2f} {K[1, 1]:.2f}", f"{K[0, 2]:.2f} {K[1, 2]:.2f}")
    count = len(camera.distortion.coefficients)
    lens = f"{camera.distortion.model} ({count})" if count else "no distortion"
    distance = np.linalg.norm(camera.cam_from_hand[:3, 3])
    exact = f"; rotation made orthonormal: axes moved by {change:.2g}°" if change > 1e-6 else ""
    return (
        f"{camera.name:<11} {camera.width}×{camera.height}, focal {focal}, centre {centre}, "
        f"{lens}, {distance:.3f} m from the hand frame{exact}"
    )
