"""The label of a sample, and its JSON form."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opendactyl.core.errors import InputError
from opendactyl.core.optional_files import parse_json
from opendactyl.datasets.format.schema import (
    INVALID_DATA,
    check_schema,
    finite_array,
    natural,
    optional_positive,
    schema_of,
)
from opendactyl.geometry.camera import Camera
from opendactyl.geometry.rig import Rig
from opendactyl.geometry.transforms import pose_matrix, transform_points
from opendactyl.sim.state import State

CORNER_TOLERANCE = 0.01
"""Allowed distance in pixels between the stored, rounded corners and the projected ones."""


@dataclass(frozen=True, eq=False)
class Label:
    """The ground truth of one sample: V views, K corners, all poses in the hand frame."""

    index: int
    """The sample's number in its dataset."""
    position: NDArray[np.float64]
    """The object's centre (3,) in metres."""
    quaternion: NDArray[np.float64]
    """The object's orientation (4,), w >= 0."""
    joints: NDArray[np.float64]
    """Joint angles (J,) in radians."""
    source: str
    """The source of the state: `settled`, `random`, `policy`, `mined` or `scene`."""
    cameras: tuple[Camera, ...]
    """The nominal cameras, as in the rig file."""
    true_cameras: tuple[Camera, ...]
    """The jittered cameras that rendered the images."""
    corners: NDArray[np.float64]
    """The object's corners (V, K, 2) in pixels, projected by the true cameras; of an object with
    hinges, all of its keypoints."""
    visible_fraction: NDArray[np.float64]
    """Per view (V,): the fraction of the object's pixels that are not occluded."""
    appearance: dict[str, Any]
    """The appearance sample."""
    hinges: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    """Angles (H,) of the object's hinges in radians; none of a rigid object."""
    depth_scale: float | None = None
    """Metres per step of the depth images; None: the sample has none."""

    @property
    def state(self) -> State:
        """The state of hand and object."""
        return State(self.joints, self.position, self.quaternion, self.hinges)

    def project(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Projects points (K, 3) of the object frame by the true cameras.

        Returns:
            Normalised image points (V, K, 2), from 0 to 1 across the image; NaN behind a camera.
        """
        pose = pose_matrix(self.position, self.quaternion)
        return self._image_points(transform_points(pose, points))[0]

    def project_fixed(self, in_hand: NDArray[np.float64]) -> NDArray[np.float64]:
        """Like `project`, for points (K, 3) of the hand frame; infinite behind a camera."""
        points, depth = self._image_points(in_hand)
        return np.where(depth[..., None] > 0, points, np.inf)

    def _image_points(self, in_hand: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
        size = [(camera.width, camera.height) for camera in self.true_cameras]
        views = [camera.project(in_hand) for camera in self.true_cameras]
        pixels, depth = (np.stack(values) for values in zip(*views, strict=True))
        return pixels / np.array(size)[:, None], depth

    def to_json(self) -> bytes:
        """The label as one line of JSON with sorted keys.

        Raises:
            InputError: a part of the object is behind a camera.
        """
        for camera, corners in zip(self.cameras, self.corners, strict=True):
            if not np.isfinite(corners).all():
                raise InputError(
                    f"sample {self.index}: the object is behind the camera {camera.name}; correct "
                    "its pose (`opendactyl rig show` draws what it sees)"
                )
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
            "schema": schema_of(len(self.hinges), self.depth_scale is not None),
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
        if len(self.hinges):
            value["hinges"] = self.hinges.tolist()
        if self.depth_scale is not None:
            value["depth_scale"] = self.depth_scale
        return json.dumps(value, sort_keys=True, allow_nan=False).encode()

    @classmethod
    def from_json(cls, data: bytes, where: str) -> "Label":
        """The inverse of `to_json`; error messages begin with `where`.

        Raises:
            InputError: the JSON is damaged, has another schema version, or is not a label.
        """
        try:
            value = parse_json(data)
            check_schema(value["schema"], "label schema")
            cameras = value["cameras"]
            return cls(
                index=natural(value["index"]),
                position=finite_array(value["position"], (3,)),
                quaternion=finite_array(value["quaternion"], (4,)),
                joints=finite_array(value["joints"], (None,)),
                source=str(value["source"]),
                cameras=_cameras(cameras, ""),
                true_cameras=_cameras(cameras, "_true"),
                corners=finite_array(value["corners"], (len(cameras), None, 2)),
                visible_fraction=finite_array(value["visible_fraction"], (len(cameras),)),
                appearance=dict(value["appearance"]),
                hinges=finite_array(value.get("hinges", ()), (None,)),
                depth_scale=optional_positive(value.get("depth_scale")),
            )
        except INVALID_DATA as error:
            raise InputError(f"{where} has no valid label ({error!r:.300})") from error

    def check(self, corners: NDArray[np.float64]) -> None:
        """Raises a `ValueError` unless the label is consistent.

        Args:
            corners: the object's corners (K, 3) in the object frame, at the angles of the hinges.
        """
        if abs(np.linalg.norm(self.quaternion) - 1) > 1e-6 or self.quaternion[0] < 0:
            raise ValueError(
                f"quaternion must have unit norm and w ≥ 0, got {self.quaternion.tolist()}"
            )
        if np.any(self.visible_fraction < 0) or np.any(self.visible_fraction > 1):
            raise ValueError(
                f"visible fraction must be from 0 to 1, got {self.visible_fraction.tolist()}"
            )
        size = np.array([(camera.width, camera.height) for camera in self.true_cameras])
        with np.errstate(all="ignore"):
            expected = self.project(corners) * size[:, None]
        if expected.shape != self.corners.shape or not np.allclose(
            expected, self.corners, rtol=0, atol=CORNER_TOLERANCE
        ):
            raise ValueError("corners differ from those projected from pose and cameras")


def _cameras(values: list[dict[str, Any]], kind: str) -> tuple[Camera, ...]:
    # `Rig` rejects impossible cameras and duplicate names.
    cameras = (
        Camera(
            str(value["name"]),
            natural(value["width"]),
            natural(value["height"]),
            finite_array(value["K" + kind], (3, 3)),
            finite_array(value["cam_from_hand" + kind], (4, 4)),
        )
        for value in values
    )
    return Rig("label", tuple(cameras)).cameras


def unseeing_cameras(names: Sequence[str], visible: NDArray[np.floating[Any]]) -> list[str]:
    """A line for each camera that sees the object in no sample.

    Args:
        names: the cameras.
        visible: for each of the first cameras, the object's largest visible fraction (V,).
    """
    return [
        f"the camera {name} never sees the object, so that nothing can be learned from its images; "
        "correct its pose in the rig (`opendactyl rig show` draws what it sees)"
        for name, fraction in zip(names, visible, strict=False)
        if fraction == 0
    ]
