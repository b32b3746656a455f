"""The camera rig: the calibrated cameras around the hand, read from a TOML file."""

import os
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from opendactyl.core.atomic_files import parse_toml
from opendactyl.core.errors import InputError, file_error
from opendactyl.geometry.camera import (
    Camera,
    camera_to_dict,
    check_camera,
    check_keys,
    intrinsics_from_fovy,
    optional_fields,
)
from opendactyl.geometry.rotation import Array, quat_canonical
from opendactyl.geometry.transforms import invert_pose, pose_matrix

CAMERA_KEYS = (
    "name", "width", "height", "K", "fovy_deg", "position", "quaternion", "look_at", "up",
    "distortion", "roi",
)  # fmt: skip
"""Keys of a camera's table."""
MAX_DISTANCE = 20.0
"""Largest distance of a camera from the hand frame in metres; more is another unit."""


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
        if len({name.lower() for name in names}) != len(names):
            raise InputError(
                f"rig {self.name!r} has camera names that differ only in case: {', '.join(names)}; "
                "file systems and WebDataset do not distinguish them"
            )
        for camera in self.cameras:
            check_camera(camera)

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

    def views(self, image_size: int) -> "Rig":
        """The cameras of square images of what a network observes: `regions`, else whole views."""
        cameras = (camera.region() if camera.roi else camera for camera in self.cameras)
        return Rig(self.name, tuple(c.scaled(image_size, image_size) for c in cameras))

    def regions(self) -> "Rig":
        """The rig of the pinhole cameras whose images are the regions of interest."""
        return Rig(self.name, tuple(c.region() for c in self.cameras))

    def to_dict(self) -> dict[str, Any]:
        """JSON-serialisable form with full matrices."""
        return {"name": self.name, "cameras": [camera_to_dict(c) for c in self.cameras]}

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
                    **optional_fields(c),
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


def rig_names() -> list[str]:
    """Names of the rigs that ship with the package."""
    return sorted(Path(f.name).stem for f in _shipped_rigs().iterdir() if f.name.endswith(".toml"))


def _shipped_rigs() -> Traversable:
    return resources.files("opendactyl.configs") / "rigs"


def load_rig(rig: str | Path) -> Rig:
    """Loads a rig from a TOML file, or a shipped rig by name.

    Each `[[camera]]` has `name`, `width`, `height` in pixels; `fovy_deg`, or a 3×3 `K`; `position`
    in metres in the hand frame; and `quaternion` (hand_from_cam, wxyz, OpenCV axes) or `look_at`
    (a point in the hand frame) with `up` (default z). Optional: `distortion`, a table of `model`
    and `coefficients` (see `geometry.distortion`), and `roi`, [x, y, width, height] in pixels.

    Raises:
        InputError: no such rig or file, or the file does not describe a valid rig.
        EnvironmentFailure: the file could not be read because of an I/O error.
    """
    path = Path(rig)
    content = _read_rig(path)
    try:
        table = parse_toml(content)
        check_keys(table, ("name", "camera"), "the file")
        entries = table.get("camera", [])
        if isinstance(entries, dict):
            raise InputError("[camera] is a single table; begin each camera with [[camera]]")
        cameras = tuple(_camera_from_table(entry) for entry in entries)
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
    check_keys(entry, CAMERA_KEYS, f"camera {entry.get('name')!r}")
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
    if np.linalg.norm(position) > MAX_DISTANCE:
        raise InputError(
            f"camera {entry['name']!r}: position {position.tolist()} is more than {MAX_DISTANCE:g} "
            "m from the hand; positions are in metres (millimetres?)"
        )
    if ("quaternion" in entry) == ("look_at" in entry):
        raise InputError(f"camera {entry['name']!r} needs exactly one of quaternion and look_at")
    if "quaternion" in entry:
        hand_from_cam = pose_matrix(position, _quaternion(entry))
    else:
        hand_from_cam = look_at(position, entry["look_at"], entry.get("up", [0.0, 0.0, 1.0]))
    cam_from_hand = invert_pose(hand_from_cam)
    name = str(entry["name"])
    try:
        return Camera(name, width, height, intrinsics, cam_from_hand, **optional_fields(entry))
    except InputError as error:
        raise InputError(f"camera {name!r}: {error}") from error


def _quaternion(entry: dict[str, Any]) -> Array:
    given = entry["quaternion"]
    quaternion, norm = quat_canonical(given), float(np.linalg.norm(given))
    if abs(norm - 1) > 0.02:
        raise InputError(
            f"camera {entry['name']!r}: quaternion {given} has norm {norm:.3g}, not 1; it is "
            "hand_from_cam, in the order w, x, y, z"
        )
    return quaternion


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
