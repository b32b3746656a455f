"""The pinhole camera: OpenCV axes (x right, y down, z forward), pixel centres at +0.5."""

import difflib
import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from opendactyl.core.errors import InputError
from opendactyl.geometry.distortion import Distortion
from opendactyl.geometry.rotation import Array
from opendactyl.geometry.transforms import transform_points

MAX_PIXELS = 16384
"""Largest image width or height of a camera."""

Roi = tuple[int, int, int, int]
"""Region of interest: left, top, width and height in pixels; it may extend beyond the frame."""
Frame = tuple[float, float, float, float]
"""Left, top, width and height of a whole view, in pixels of the image of its region."""


@dataclass(frozen=True, eq=False)
class Camera:
    """A calibrated camera of a rig.

    Its undistorted view is the pinhole image of the same size and intrinsics as the raw image.
    """

    name: str
    """Name of the view, used in the file names of a sample's images."""
    width: int
    """Image width in pixels."""
    height: int
    """Image height in pixels."""
    K: Array
    """Intrinsics (3, 3) in pixels."""
    cam_from_hand: Array
    """Extrinsics (4, 4), hand frame to camera frame, in metres."""
    distortion: Distortion = Distortion()
    """Distortion of the raw image."""
    roi: Roi | None = None
    """The part of the undistorted view that the network observes; None is all of it."""
    frame: Frame | None = None
    """Where the whole undistorted view lies, if this camera's image is a region of it."""

    def project(self, points_in_hand: ArrayLike) -> tuple[Array, Array]:
        """Projects points (..., 3) in the hand frame into the undistorted view.

        Returns:
            Pixels (..., 2), NaN behind the camera, and depths (...) in metres.
        """
        points = np.asarray(points_in_hand, dtype=np.float64)
        in_camera = transform_points(self.cam_from_hand, points.reshape(-1, 3))
        homogeneous = in_camera @ self.K.T
        depth = homogeneous[:, 2]
        in_front = depth > 0
        pixels = np.full((len(depth), 2), np.nan)
        # Points near the camera's plane may have no finite image.
        with np.errstate(over="ignore"):
            pixels[in_front] = homogeneous[in_front, :2] / depth[in_front, None]
        return pixels.reshape(*points.shape[:-1], 2), depth.reshape(points.shape[:-1])

    def project_raw(self, points_in_hand: ArrayLike) -> tuple[Array, Array]:
        """As `project`, into the raw image, with the distortion of the lens."""
        pixels, depth = self.project(points_in_hand)
        return self.distorted(pixels), depth

    def distorted(self, pixels: ArrayLike) -> Array:
        """Pixels (..., 2) of the raw image, from pixels (..., 2) of the undistorted view."""
        focal, centre = np.diag(self.K)[:2], self.K[:2, 2]
        return self.distortion.distort((np.asarray(pixels) - centre) / focal) * focal + centre

    def scaled(self, width: int, height: int) -> "Camera":
        """The camera for images resized to `width` × `height` pixels."""
        scale = np.array([width / self.width, height / self.height])
        roi = self.roi
        if roi is not None:
            # Rounded: the region is a choice, not a measurement.
            left, top, *size = np.rint(np.array(roi) * np.tile(scale, 2)).astype(int).tolist()
            roi = (left, top, max(size[0], 1), max(size[1], 1))
        frame = self.frame
        if frame is not None:
            x, y, wide, tall = (np.array(frame) * np.tile(scale, 2)).tolist()
            frame = (x, y, wide, tall)
        K = np.diag([*scale, 1.0]) @ self.K
        return replace(self, width=width, height=height, K=K, roi=roi, frame=frame)

    def region(self) -> "Camera":
        """The pinhole camera whose image is the region of interest of the undistorted view."""
        left, top, width, height = self.roi or (0, 0, self.width, self.height)
        K = self.K.copy()
        K[:2, 2] -= left, top
        frame = (-left, -top, self.width, self.height) if self.roi else None
        return Camera(self.name, width, height, K, self.cam_from_hand, frame=frame)

    @property
    def fovy(self) -> float:
        """Vertical field of view in radians, for a centred principal point."""
        return float(2.0 * np.arctan(self.height / (2.0 * self.K[1, 1])))

    @property
    def frame_fovy(self) -> float:
        """As `fovy`, of the whole view if the image is a region of it."""
        height = self.frame[3] if self.frame else self.height
        return float(2.0 * np.arctan(height / (2.0 * self.K[1, 1])))


def check_camera(camera: Camera) -> None:
    """Checks that a camera can be rendered.

    Raises:
        InputError: a value is not valid.
    """
    label = f"camera {camera.name!r}"
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", camera.name):
        raise InputError(f"{label}: the name becomes part of file names; use letters, digits, - _")
    if not (1 <= camera.width <= MAX_PIXELS and 1 <= camera.height <= MAX_PIXELS):
        raise InputError(
            f"{label} has an image of {camera.width}×{camera.height} pixels; "
            f"each must be from 1 to {MAX_PIXELS}"
        )
    _check_intrinsics(camera.K, label)
    pose = camera.cam_from_hand
    if pose.shape != (4, 4) or not np.all(np.isfinite(pose)):
        raise InputError(f"{label}: cam_from_hand must be a finite 4×4 matrix")
    rotation = pose[:3, :3]
    rigid = np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-5) and np.linalg.det(rotation) > 0
    if not rigid or not np.allclose(pose[3], [0, 0, 0, 1]):
        raise InputError(f"{label}: cam_from_hand is not a rotation and a translation")
    if camera.roi is not None:
        _check_roi(camera, camera.roi, label)


def _check_intrinsics(K: Array, label: str) -> None:
    if K.shape != (3, 3) or not np.all(np.isfinite(K)):
        raise InputError(f"{label}: K must be a finite 3×3 matrix")
    if abs(np.linalg.det(K)) < 1e-9 or K[0, 0] <= 0 or K[1, 1] <= 0:
        raise InputError(f"{label}: K is singular or has no positive focal length: {K.tolist()}")
    skew = max(abs(K[0, 1]), abs(K[1, 0]))
    if 0 < skew < 1e-3:
        raise InputError(
            f"{label}: K has a skew of {skew:g} pixels, which is a rounding error of the "
            "calibration; write 0.0 instead"
        )
    if skew:
        raise InputError(f"{label}: K has skew, which the renderers do not support: {K.tolist()}")
    if not np.array_equal(K[2], [0, 0, 1]):
        raise InputError(f"{label}: the last row of K must be [0, 0, 1], not {K[2].tolist()}")


def _check_roi(camera: Camera, roi: Roi, label: str) -> None:
    left, top, width, height = roi
    if not (1 <= width <= MAX_PIXELS and 1 <= height <= MAX_PIXELS):
        raise InputError(f"{label}: roi {list(roi)} must be [x, y, width, height] in pixels")
    if left >= camera.width or top >= camera.height or left + width <= 0 or top + height <= 0:
        raise InputError(
            f"{label}: roi {list(roi)} lies outside the image of "
            f"{camera.width}×{camera.height} pixels"
        )


def check_keys(table: dict[str, Any], known: Collection[str], what: str) -> None:
    """Checks that a table has known keys only.

    Raises:
        InputError: it has others, which would have no effect.
    """
    if not isinstance(table, dict):
        raise InputError(f"{what} is {table!r}; it must be a table with {', '.join(known)}")
    for key in table:
        if key not in known:
            similar = difflib.get_close_matches(key, known, 1)
            hint = f" (did you mean {similar[0]}?)" if similar else ""
            raise InputError(f"{what} has the unknown key {key!r}{hint}; use {', '.join(known)}")


def camera_to_dict(camera: Camera) -> dict[str, Any]:
    """JSON-serialisable form; hashes depend on it, so what a camera lacks has no key."""
    content = {
        "name": camera.name,
        "width": camera.width,
        "height": camera.height,
        "K": camera.K.tolist(),
        "cam_from_hand": camera.cam_from_hand.tolist(),
    }
    if camera.distortion:
        content["distortion"] = camera.distortion.to_dict()
    if camera.roi is not None:
        content["roi"] = list(camera.roi)
    if camera.frame is not None:
        content["frame"] = list(camera.frame)
    return content


def optional_fields(value: dict[str, Any]) -> dict[str, Any]:
    """What only some cameras have, if a camera's dictionary or table has it."""
    found: dict[str, Any] = {}
    if "distortion" in value:
        check_keys(value["distortion"], ("model", "coefficients"), "distortion")
        found["distortion"] = Distortion.from_dict(value["distortion"])
    if "roi" in value:
        roi = value["roi"]
        if len(roi) != 4 or any(type(number) is not int for number in roi):
            raise InputError(f"roi is {roi}; it must be [x, y, width, height], whole pixels")
        found["roi"] = tuple(roi)
    if "frame" in value:
        frame = np.array(value["frame"], dtype=np.float64)
        if frame.shape != (4,) or not np.all(np.isfinite(frame)) or np.any(frame[2:] <= 0):
            raise InputError(f"frame is {value['frame']}; it must be [x, y, width, height]")
        found["frame"] = tuple(frame.tolist())
    return found


def intrinsics_from_fovy(fovy: float, width: int, height: int) -> Array:
    """Intrinsics (3, 3) for square pixels and a centred principal point; `fovy` in radians."""
    focal = height / (2.0 * np.tan(fovy / 2.0))
    return np.array([[focal, 0.0, width / 2.0], [0.0, focal, height / 2.0], [0.0, 0.0, 1.0]])
