"""The camera rig: which cameras look at the hand, read from one TOML file."""

import re
import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from opendactyl.core.errors import InputError
from opendactyl.geometry.camera import Camera, intrinsics_from_fovy
from opendactyl.geometry.rotation import Array, quat_canonical
from opendactyl.geometry.transforms import invert_pose, pose_matrix

MAX_PIXELS = 16384
"""The largest image width or height a camera may have."""


@dataclass(frozen=True)
class Rig:
    """Calibrated cameras in a fixed order, which is part of a dataset's and a bundle's contract."""

    name: str
    """The rig's name, for people."""
    cameras: tuple[Camera, ...]
    """The cameras, in order."""

    def __post_init__(self) -> None:
        """Refuses rigs that no image could come from."""
        if not self.cameras:
            raise InputError(f"rig {self.name!r} has no cameras; add at least one [[camera]] table")
        names = [camera.name for camera in self.cameras]
        if len(set(names)) != len(names):
            raise InputError(f"rig {self.name!r} names a camera twice ({names}); names must differ")
        for camera in self.cameras:
            _check_camera(camera)

    @property
    def names(self) -> tuple[str, ...]:
        """The cameras' names, in order."""
        return tuple(camera.name for camera in self.cameras)

    @property
    def intrinsics(self) -> Array:
        """The stacked K, (V, 3, 3)."""
        return np.stack([camera.K for camera in self.cameras])

    @property
    def extrinsics(self) -> Array:
        """The stacked cam_from_hand, (V, 4, 4)."""
        return np.stack([camera.cam_from_hand for camera in self.cameras])

    def resized(self, image_size: int) -> "Rig":
        """The same rig with square images of `image_size` pixels."""
        return Rig(self.name, tuple(c.scaled(image_size, image_size) for c in self.cameras))

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able form with full matrices."""
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
        """The inverse of `to_dict`.

        Raises:
            InputError: a key is missing or a value is not a matrix.
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
        except InputError:
            raise
        except _UNUSABLE as error:
            raise InputError(f"this is no rig: {_explain(error)}") from error


_UNUSABLE = (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)
"""What reading a rig raises when the file holds something else."""


def _explain(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)


def _check_camera(camera: Camera) -> None:
    where = f"camera {camera.name!r}"
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", camera.name):
        raise InputError(f"{where}: the name becomes part of file names; use letters, digits, - _")
    if not (1 <= camera.width <= MAX_PIXELS and 1 <= camera.height <= MAX_PIXELS):
        raise InputError(
            f"{where} has an image of {camera.width}×{camera.height} pixels; "
            f"each must be from 1 to {MAX_PIXELS}"
        )
    if camera.K.shape != (3, 3) or not np.all(np.isfinite(camera.K)):
        raise InputError(f"{where}: K must be a finite 3×3 matrix")
    if abs(np.linalg.det(camera.K)) < 1e-9 or camera.K[0, 0] <= 0 or camera.K[1, 1] <= 0:
        raise InputError(
            f"{where}: K is singular or has no positive focal length: {camera.K.tolist()}"
        )
    if camera.K[0, 1] != 0 or camera.K[1, 0] != 0:
        raise InputError(f"{where}: K has skew, which no renderer here can draw")
    if not np.array_equal(camera.K[2], [0, 0, 1]):
        last = camera.K[2].tolist()
        raise InputError(f"{where}: the last row of K must be [0, 0, 1], not {last}")
    pose = camera.cam_from_hand
    if pose.shape != (4, 4) or not np.all(np.isfinite(pose)):
        raise InputError(f"{where}: cam_from_hand must be a finite 4×4 matrix")
    rotation = pose[:3, :3]
    rigid = np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-5) and np.linalg.det(rotation) > 0
    if not rigid or not np.allclose(pose[3], [0, 0, 0, 1]):
        raise InputError(f"{where}: cam_from_hand is no rigid pose (a rotation and a translation)")


def rig_names() -> list[str]:
    """The names of the rigs that come with the package."""
    folder = resources.files("opendactyl.configs") / "rigs"
    return sorted(Path(f.name).stem for f in folder.iterdir() if f.name.endswith(".toml"))


def load_rig(rig: str | Path) -> Rig:
    """Loads a rig from a TOML file, or by the name of one that comes with the package.

    Each `[[camera]]` has `name`, `width`, `height` in pixels; `fovy_deg`, or a 3×3 `K`; `position`
    in metres in the hand frame; and `quaternion` (hand_from_cam, wxyz, OpenCV axes), or `look_at`
    (a point of the hand frame) with `up` (default z).

    Raises:
        InputError: there is no such rig, or the file does not describe one.
    """
    path = Path(rig)
    if path.suffix != ".toml" and not path.is_file():
        shipped = resources.files("opendactyl.configs") / "rigs" / f"{rig}.toml"
        if not shipped.is_file():
            raise InputError(f"no rig {str(rig)!r}; name a .toml file or one of {rig_names()}")
        text, name = shipped.read_text(encoding="utf-8"), str(rig)
    else:
        try:
            text, name = path.read_text(encoding="utf-8"), path.stem
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot read the rig {path}: {error}") from error
    try:
        table = tomllib.loads(text)
        cameras = tuple(_camera_from_table(entry) for entry in table.get("camera", []))
        return Rig(str(table.get("name", name)), cameras)
    except InputError as error:
        raise InputError(f"rig {rig}: {error}") from error
    except _UNUSABLE as error:
        raise InputError(f"rig {rig} cannot be used: {_explain(error)}") from error


def _camera_from_table(entry: dict[str, Any]) -> Camera:
    width, height = int(entry["width"]), int(entry["height"])
    if ("K" in entry) == ("fovy_deg" in entry):
        raise InputError(f"camera {entry.get('name')!r} needs either K or fovy_deg")
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
        raise InputError(f"camera {entry['name']!r} needs either quaternion or look_at")
    if "quaternion" in entry:
        hand_from_cam = pose_matrix(position, quat_canonical(entry["quaternion"]))
    else:
        hand_from_cam = look_at(position, entry["look_at"], entry.get("up", [0.0, 0.0, 1.0]))
    return Camera(str(entry["name"]), width, height, intrinsics, invert_pose(hand_from_cam))


def look_at(position: ArrayLike, target: ArrayLike, up: ArrayLike) -> Array:
    """The pose (4, 4), hand_from_cam, of a camera at `position` that looks at `target`.

    Raises:
        InputError: the view is along `up`, or of no length.
    """
    position, forward = np.asarray(position, dtype=np.float64), np.subtract(target, position)
    right = np.cross(forward, np.asarray(up, dtype=np.float64))
    if np.linalg.norm(right) < 1e-9:
        raise InputError("a camera's look_at must not lie along up from its position")
    forward, right = forward / np.linalg.norm(forward), right / np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=-1)
    pose[:3, 3] = position
    return pose
