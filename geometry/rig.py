"""The camera rig: the calibrated cameras around the hand, read from a TOML file."""

import os
import re
import tomllib
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from opendactyl.core.errors import InputError, file_error
from opendactyl.geometry.camera import Camera, intrinsics_from_fovy
from opendactyl.geometry.rotation import Array, quat_canonical
from opendactyl.geometry.transforms import invert_pose, pose_matrix

MAX_PIXELS = 16384
"""Largest image width or height of a camera."""


@dataclass(frozen=True)
class Rig:
    """Calibrated cameras. Their order is part of the format of datasets and bundles."""

    name: str
    """Name of the rig, for display."""
    cameras: tuple[Camera, ...]
    """Cameras in the order of the views."""

    def __post_init__(self) -> None:
        """Checks that the rig can be rendered.

        Raises:
            InputError: there is no camera, two have one name, or a camera is not valid.
        """
        if not self.cameras:
            raise InputError(f"rig {self.name!r} has no cameras; add at least one [[camera]] table")
        names = [camera.name for camera in self.cameras]
        if len(set(names)) != len(names):
            raise InputError(f"rig {self.name!r} has two cameras of one name: {', '.join(names)}")
        for camera in self.cameras:
            _check_camera(camera)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the cameras, in order."""
        return tuple(camera.name for camera in self.cameras)

    @property
    def intrinsics(self) -> Array:
        """Stacked intrinsics K (V, 3, 3), in pixels."""
        return np.stack([camera.K for camera in self.cameras])

    @property
    def extrinsics(self) -> Array:
        """Stacked extrinsics cam_from_hand (V, 4, 4), in metres."""
        return np.stack([camera.cam_from_hand for camera in self.cameras])

    def resized(self, image_size: int) -> "Rig":
        """The rig for square images of `image_size` pixels."""
        return Rig(self.name, tuple(c.scaled(image_size, image_size) for c in self.cameras))

    def to_dict(self) -> dict[str, Any]:
        """JSON-serialisable form with full matrices."""
        cameras = [
            {
                "name": c.name,
                "width": c.width,
                "height": c.height,
                "K": c.K.tolist(),
                "cam_from_hand": c.cam_from_hand.tolist(),
            }
            for c in self.cameras
        ]
        return {"name": self.name, "cameras": cameras}

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> "Rig":
        """Inverse of `to_dict`.

        Raises:
            InputError: a key is missing, or a value has the wrong type or shape.
        """
        try:
            cameras = tuple(
                Camera(
                    str(c["name"]),
                    int(c["width"]),
                    int(c["height"]),
                    np.array(c["K"], dtype=np.float64),
                    np.array(c["cam_from_hand"], dtype=np.float64),
                )
                for c in value["cameras"]
            )
            return cls(str(value["name"]), cameras)
        except _UNUSABLE as error:
            raise InputError(f"not a rig: {_explain(error)}") from error


_UNUSABLE = (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)
"""Exceptions raised while a rig is parsed from data of another form."""


def _explain(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)


def _check_camera(camera: Camera) -> None:
    label = f"camera {camera.name!r}"
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", camera.name):
        raise InputError(f"{label}: the name becomes part of file names; use letters, digits, - _")
    if not (1 <= camera.width <= MAX_PIXELS and 1 <= camera.height <= MAX_PIXELS):
        raise InputError(
            f"{label} has an image of {camera.width}×{camera.height} pixels; "
            f"each must be from 1 to {MAX_PIXELS}"
        )
    if camera.K.shape != (3, 3) or not np.all(np.isfinite(camera.K)):
        raise InputError(f"{label}: K must be a finite 3×3 matrix")
    if abs(np.linalg.det(camera.K)) < 1e-9 or camera.K[0, 0] <= 0 or camera.K[1, 1] <= 0:
        raise InputError(
            f"{label}: K is singular or has no positive focal length: {camera.K.tolist()}"
        )
    if camera.K[0, 1] != 0 or camera.K[1, 0] != 0:
        raise InputError(f"{label}: K has skew, which the renderers do not support")
    if not np.array_equal(camera.K[2], [0, 0, 1]):
        last = camera.K[2].tolist()
        raise InputError(f"{label}: the last row of K must be [0, 0, 1], not {last}")
    pose = camera.cam_from_hand
    if pose.shape != (4, 4) or not np.all(np.isfinite(pose)):
        raise InputError(f"{label}: cam_from_hand must be a finite 4×4 matrix")
    rotation = pose[:3, :3]
    rigid = np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-5) and np.linalg.det(rotation) > 0
    if not rigid or not np.allclose(pose[3], [0, 0, 0, 1]):
        raise InputError(f"{label}: cam_from_hand is not a rotation and a translation")


def rig_names() -> list[str]:
    """Names of the rigs that ship with the package."""
    return sorted(Path(f.name).stem for f in _shipped_rigs().iterdir() if f.name.endswith(".toml"))


def _shipped_rigs() -> Traversable:
    return resources.files("opendactyl.configs") / "rigs"


def load_rig(rig: str | Path) -> Rig:
    """Loads a rig from a TOML file, or a shipped rig by name.

    Each `[[camera]]` has `name`, `width`, `height` in pixels; `fovy_deg`, or a 3×3 `K`; `position`
    in metres in the hand frame; and `quaternion` (hand_from_cam, wxyz, OpenCV axes) or `look_at`
    (a point in the hand frame) with `up` (default z).

    Raises:
        InputError: no such rig or file, or the file does not describe a valid rig.
        EnvironmentFailure: the file could not be read because of an I/O error.
    """
    path = Path(rig)
    content = _read_rig(path)
    try:
        table = tomllib.loads(content.decode())
        cameras = tuple(_camera_from_table(entry) for entry in table.get("camera", []))
        return Rig(str(table.get("name", path.stem)), cameras)
    except InputError as error:
        raise InputError(f"rig {rig}: {error}") from error
    except _UNUSABLE as error:
        raise InputError(f"rig {rig} cannot be used: {_explain(error)}") from error


def _read_rig(path: Path) -> bytes:
    """The content of a rig file, or of the shipped rig of that name."""
    if path.suffix != ".toml" and not os.path.isfile(path):
        if str(path) not in rig_names():
            known = ", ".join(rig_names())
            raise InputError(f"no rig {str(path)!r}; give a .toml file or one of: {known}")
        return (_shipped_rigs() / f"{path}.toml").read_bytes()
    try:
        return path.read_bytes()
    except OSError as error:
        raise file_error(f"cannot read the rig {path}", error) from error


def _camera_from_table(entry: dict[str, Any]) -> Camera:
    width, height = int(entry["width"]), int(entry["height"])
    if ("K" in entry) == ("fovy_deg" in entry):
        raise InputError(f"camera {entry.get('name')!r} needs exactly one of K and fovy_deg")
    if "K" in entry:
        intrinsics = np.array(entry["K"], dtype=np.float64)
    else:
        fovy = float(entry["fovy_deg"])
        if not 0 < fovy < 180:
            raise InputError(f"camera {entry['name']!r}: fovy_deg is {fovy}, not in (0, 180)")
        intrinsics = intrinsics_from_fovy(np.deg2rad(fovy), width, height)
    position = np.array(entry["position"], dtype=np.float64)
    if position.shape != (3,):
        raise InputError(f"camera {entry['name']!r}: position must be three numbers, in metres")
    if ("quaternion" in entry) == ("look_at" in entry):
        raise InputError(f"camera {entry['name']!r} needs exactly one of quaternion and look_at")
    if "quaternion" in entry:
        hand_from_cam = pose_matrix(position, quat_canonical(entry["quaternion"]))
    else:
        hand_from_cam = look_at(position, entry["look_at"], entry.get("up", [0.0, 0.0, 1.0]))
    return Camera(str(entry["name"]), width, height, intrinsics, invert_pose(hand_from_cam))


def look_at(position: ArrayLike, target: ArrayLike, up: ArrayLike) -> Array:
    """hand_from_cam (4, 4) of a camera at `position` with its optical axis through `target`.

    Raises:
        InputError: the optical axis is parallel to `up`, or `position` equals `target`.
    """
    position, forward = np.asarray(position, dtype=np.float64), np.subtract(target, position)
    right = np.cross(forward, np.asarray(up, dtype=np.float64))
    if np.linalg.norm(right) < 1e-9:
        raise InputError("the direction from position to look_at must not be parallel to up")
    forward, right = forward / np.linalg.norm(forward), right / np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=-1)
    pose[:3, 3] = position
    return pose
