"""What a sample's label says, and its JSON form."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opendactyl.core.atomic_files import refuse_constant
from opendactyl.core.errors import InputError
from opendactyl.geometry.camera import Camera
from opendactyl.geometry.rig import Rig
from opendactyl.geometry.transforms import pose_matrix, transform_points

SCHEMA_VERSION = 1
"""Raised whenever a label's meaning changes; readers refuse other versions."""
CORNER_TOLERANCE = 0.01
"""Pixels between a label's corners, which are rounded, and those that its pose gives."""
UNUSABLE = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
"""What JSON that is no label or no manifest makes of the code that reads it."""


@dataclass(frozen=True, eq=False)
class Label:
    """The truth about one sample: V views, K corners, all poses in the hand frame."""

    index: int
    """The sample's number in its dataset."""
    position: NDArray[np.float64]
    """The object's centre (3,) in metres."""
    quaternion: NDArray[np.float64]
    """The object's orientation (4,), w >= 0."""
    joints: NDArray[np.float64]
    """Joint angles (24,) in radians."""
    source: str
    """Where the state came from: `settled`, `random`, `policy` or `mined`."""
    cameras: tuple[Camera, ...]
    """The nominal cameras: what a rig knows."""
    true_cameras: tuple[Camera, ...]
    """The cameras the images were made with."""
    corners: NDArray[np.float64]
    """The object's corners (V, K, 2) in pixels, through the true cameras."""
    visible_fraction: NDArray[np.float64]
    """Per view (V,): the share of the object that nothing hides."""
    appearance: dict[str, Any]
    """The appearance sample."""

    def project(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points (K, 3) of the object through the true cameras: (V, K, 2), 0 to 1 across a view."""
        pose = pose_matrix(self.position, self.quaternion)
        return self._places(transform_points(pose, points))[0]

    def project_fixed(self, in_hand: NDArray[np.float64]) -> NDArray[np.float64]:
        """The same for points (K, 3) of the hand frame; infinite behind a camera."""
        places, depth = self._places(in_hand)
        return np.where(depth[..., None] > 0, places, np.inf)

    def _places(self, in_hand: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
        size = [(camera.width, camera.height) for camera in self.true_cameras]
        seen = [camera.project(in_hand) for camera in self.true_cameras]
        pixels, depth = (np.stack(part) for part in zip(*seen, strict=True))
        return pixels / np.array(size)[:, None], depth

    def to_json(self) -> bytes:
        """The label as one line of JSON with sorted keys."""
        cameras = [
            {
                "name": nominal.name,
                "K": nominal.K.tolist(),
                "cam_from_hand": nominal.cam_from_hand.tolist(),
                "K_true": true.K.tolist(),
                "cam_from_hand_true": true.cam_from_hand.tolist(),
                "width": nominal.width,
                "height": nominal.height,
            }
            for nominal, true in zip(self.cameras, self.true_cameras, strict=True)
        ]
        value = {
            "schema": SCHEMA_VERSION,
            "index": self.index,
            "position": self.position.tolist(),
            "quaternion": self.quaternion.tolist(),
            "joints": self.joints.tolist(),
            "source": self.source,
            "cameras": cameras,
            "corners": np.round(self.corners, 4).tolist(),
            "visible_fraction": np.round(self.visible_fraction, 6).tolist(),
            "appearance": self.appearance,
        }
        return json.dumps(value, sort_keys=True, allow_nan=False).encode()

    @classmethod
    def from_json(cls, data: bytes, where: str) -> "Label":
        """The inverse of `to_json`; `where` names the sample in errors.

        Raises:
            InputError: the JSON is broken, of another schema version, or not a label.
        """
        try:
            value = json.loads(data, parse_constant=refuse_constant)
            if value["schema"] != SCHEMA_VERSION:
                raise ValueError(
                    f"label schema {value['schema']!r}, this version reads {SCHEMA_VERSION}; "
                    "make the dataset again"
                )
            cameras = value["cameras"]
            return cls(
                index=whole(value["index"]),
                position=finite_array(value["position"], (3,)),
                quaternion=finite_array(value["quaternion"], (4,)),
                joints=finite_array(value["joints"], (24,)),
                source=str(value["source"]),
                cameras=_cameras(cameras, ""),
                true_cameras=_cameras(cameras, "_true"),
                corners=finite_array(value["corners"], (len(cameras), None, 2)),
                visible_fraction=finite_array(value["visible_fraction"], (len(cameras),)),
                appearance=dict(value["appearance"]),
            )
        except UNUSABLE as error:
            raise InputError(f"{where} has no valid label ({error!r:.300})") from error

    def check(self, corners: NDArray[np.float64]) -> None:
        """Raises a `ValueError` unless the label agrees with itself.

        Args:
            corners: the object's corners (K, 3) in the object frame.
        """
        if abs(np.linalg.norm(self.quaternion) - 1) > 1e-6 or self.quaternion[0] < 0:
            raise ValueError(f"its quaternion {self.quaternion.tolist()} is none, or has w < 0")
        if np.any(self.visible_fraction < 0) or np.any(self.visible_fraction > 1):
            raise ValueError("a visible fraction is not from 0 to 1")
        size = np.array([(camera.width, camera.height) for camera in self.true_cameras])
        with np.errstate(all="ignore"):
            expected = self.project(corners) * size[:, None]
        if expected.shape != self.corners.shape or not np.allclose(
            expected, self.corners, rtol=0, atol=CORNER_TOLERANCE
        ):
            raise ValueError("its corners are not where its pose and its cameras put them")


def whole(value: Any) -> int:
    """A whole number that is not negative; a `ValueError` otherwise."""
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} stands where a whole number belongs")
    return value


def finite_array(value: Any, shape: tuple[int | None, ...]) -> NDArray[np.float64]:
    """An array of the given shape, None standing for any length; a `ValueError` otherwise."""
    array = np.array(value, dtype=np.float64)
    fits = array.ndim == len(shape) and all(
        want in (None, have) for want, have in zip(shape, array.shape, strict=True)
    )
    if not fits or not np.all(np.isfinite(array)):
        raise ValueError(f"an array of shape {array.shape} stands where {shape} belongs")
    return array


def _cameras(values: list[dict[str, Any]], kind: str) -> tuple[Camera, ...]:
    # A rig refuses cameras that no image could come from, and two of one name.
    cameras = (
        Camera(
            str(value["name"]),
            whole(value["width"]),
            whole(value["height"]),
            finite_array(value["K" + kind], (3, 3)),
            finite_array(value["cam_from_hand" + kind], (4, 4)),
        )
        for value in values
    )
    return Rig("label", tuple(cameras)).cameras
