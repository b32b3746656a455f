"""The second look: keypoints in crops around a first estimate, at the resolution of the frames."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from opendactyl.models.pose.blocks import channels_first, normalize
from opendactyl.models.pose.detector import Detector
from opendactyl.models.pose.outputs import CropOutput, Crops

MARGIN = 1.15
"""Side of a crop in diameters of the sphere around the object's keypoints."""


class Windows(NamedTuple):
    """Parts of the views at full resolution, which hold the crops."""

    images: Tensor
    """Images uint8 (B, V, W, W, 3)."""
    corner: Tensor
    """Their left and upper borders (B, V, 2), 0 to 1 across the view."""
    extent: float
    """Their side as a fraction of the view."""


def crop_diameter(points: NDArray[np.floating[Any]]) -> float:
    """Diameter of the sphere around the centroid of keypoints (K, 3), in their unit."""
    return 2 * float(np.linalg.norm(points - points.mean(axis=0), axis=-1).max())


class CloseUp(Detector):
    """Detects the object's keypoints in crops, by an hourglass shared by the cameras."""

    centroid: Tensor

    def __init__(self, points: Sequence[Sequence[float]], crop_size: int) -> None:
        """Builds the layers.

        Args:
            points: keypoints of the object (K, 3), in metres, object frame.
            crop_size: width and height of the crops in pixels.
        """
        super().__init__(len(points), len(points))
        keypoints = torch.tensor(points, dtype=torch.float32)
        self.register_buffer("centroid", keypoints.mean(dim=0), persistent=False)
        self.diameter = crop_diameter(np.array(points))
        self.crop_size = crop_size

    def side(self, position: Tensor, cameras: Tensor) -> Tensor:
        """Sides (B, V) of crops around an object at a position (B, 3); see `projection_matrices`.

        The focal length of a camera, in widths of its view, is that of the matrix's first row.
        """
        forward = cameras[:, 2, :3]
        depth = (position @ forward.mT + cameras[:, 2, 3]).clamp_min(1e-3)
        # The part of the first row that is perpendicular to the optical axis.
        row = cameras[:, 0, :3]
        across = row - (row * forward).sum(dim=-1, keepdim=True) * forward
        return MARGIN * self.diameter * across.square().sum(dim=-1).sqrt() / depth

    def forward(self, windows: Windows, crops: Crops) -> CropOutput:
        """Detects the keypoints in crops of windows."""
        with torch.autocast(windows.images.device.type, enabled=False):
            images = normalize(self._cut(windows, crops))
        keypoints, log_std, _ = self.detect(images)
        # Not len(): it would fix the exported batch.
        batch = crops.side.shape[0]
        keypoints, log_std = (x.unflatten(0, (batch, -1)) for x in (keypoints, log_std))
        return CropOutput(crops, keypoints, log_std)

    def _cut(self, windows: Windows, crops: Crops) -> Tensor:
        """Crops (B*V, 3, C, C), bilinear; what lies outside the windows is black."""
        steps = (torch.arange(self.crop_size, device=crops.side.device) + 0.5) / self.crop_size
        in_view = crops.centre[..., None, :] + (steps[:, None] - 0.5) * crops.side[..., None, None]
        in_window = (in_view - windows.corner[..., None, :]) / windows.extent
        x, y = (in_window.flatten(0, 1) * 2 - 1).unbind(dim=-1)  # (B*V, C)
        size = self.crop_size
        grid = torch.stack(
            [x[:, None].expand(-1, size, -1), y[:, :, None].expand(-1, -1, size)], dim=-1
        )
        return functional.grid_sample(channels_first(windows.images), grid, align_corners=False)
