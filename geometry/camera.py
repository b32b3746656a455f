"""The pinhole camera: OpenCV axes (x right, y down, z forward), pixel centres at +0.5."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from opendactyl.geometry.rotation import Array
from opendactyl.geometry.transforms import transform_points


@dataclass(frozen=True, eq=False)
class Camera:
    """A calibrated camera of a rig."""

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

    def project(self, points_in_hand: ArrayLike) -> tuple[Array, Array]:
        """Projects points (..., 3) in the hand frame to pixels (..., 2) and depths (...) in m."""
        points = np.asarray(points_in_hand, dtype=np.float64)
        in_camera = transform_points(self.cam_from_hand, points.reshape(-1, 3))
        homogeneous = in_camera @ self.K.T
        depth = homogeneous[:, 2]
        pixels = homogeneous[:, :2] / depth[:, None]
        return pixels.reshape(*points.shape[:-1], 2), depth.reshape(points.shape[:-1])

    def scaled(self, width: int, height: int) -> "Camera":
        """The camera for images resized to `width` × `height` pixels."""
        scale = np.diag([width / self.width, height / self.height, 1.0])
        return replace(self, width=width, height=height, K=scale @ self.K)

    @property
    def fovy(self) -> float:
        """Vertical field of view in radians, for a centred principal point."""
        return float(2.0 * np.arctan(self.height / (2.0 * self.K[1, 1])))


def intrinsics_from_fovy(fovy: float, width: int, height: int) -> Array:
    """Intrinsics (3, 3) for square pixels and a centred principal point; `fovy` in radians."""
    focal = height / (2.0 * np.tan(fovy / 2.0))
    return np.array([[focal, 0.0, width / 2.0], [0.0, focal, height / 2.0], [0.0, 0.0, 1.0]])
