"""The second look: keypoints in crops around a first estimate, at the resolution of the frames."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from opendactyl.geometry.torch_ops.crops import cut_squares
from opendactyl.models.pose.blocks import channels_first, normalize
from opendactyl.models.pose.detector import Detector
from opendactyl.models.pose.outputs import CropOutput, Crops

MARGIN = 1.15
"""Side of a crop in diameters of the sphere around the object's keypoints."""
ROOM = 0.05
"""Room around the anchors in a crop, in image widths, on each side."""


class Windows(NamedTuple):
    """Parts of the frames, which hold the crops."""

    images: Tensor
    """Images uint8 (B, V, W, W, 3)."""
    corner: Tensor
    """Their left and upper borders (B, V, 2), 0 to 1 across the view."""
    extent: float
    """Their side as a fraction of the view."""
    anchor_crops: Tensor | None = None
    """Crops uint8 (B, V, C, C, 3) of `anchor_squares`; None: cut from `images`, which are whole."""


def crop_diameter(points: NDArray[np.floating[Any]]) -> float:
    """Diameter of the sphere around the centroid of keypoints (K, 3), in their unit."""
    return 2 * float(np.linalg.norm(points - points.mean(axis=0), axis=-1).max())


def anchor_squares(nominal: Tensor) -> Crops:
    """Squares (1, V) around the anchors, given their nominal image points (V, M, 2).

    They are those of the anchors inside the image, with room for what the camera may have moved.
    """
    inside = ((nominal > 0) & (nominal < 1)).all(dim=-1, keepdim=True)
    low = torch.where(inside, nominal, 1.0).amin(dim=1)
    high = torch.where(inside, nominal, 0.0).amax(dim=1)
    side = (high - low).amax(dim=-1).clamp_min(0) + 2 * ROOM
    return Crops((low + high)[None] / 2, side[None])


class CloseUp(Detector):
    """Detects the object's keypoints in crops, by an hourglass shared by the cameras."""

    centroid: Tensor

    def __init__(self, points: Sequence[Sequence[float]], anchors: int, crop_size: int) -> None:
        """Builds the layers.

        Args:
            points: keypoints of the object (K, 3), in metres, object frame.
            anchors: number of static landmarks, perhaps none.
            crop_size: width and height of the crops in pixels.
        """
        super().__init__(len(points) + anchors, len(points) + anchors)
        self.keypoints = len(points)
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

    def forward(self, windows: Windows, crops: Crops, squares: Crops | None = None) -> CropOutput:
        """Detects the keypoints in crops of windows, and the anchors in squares around them."""
        # Not len(): it would fix the exported batch.
        shape, count = (-1, crops.side.shape[0], crops.side.shape[1]), self.keypoints
        with torch.autocast(windows.images.device.type, enabled=False):
            images = [self._cut(windows, crops)]
            if squares is not None:
                images.append(self._cut_anchors(windows, squares))
            images = normalize(torch.cat(images))
        found, log_std, _ = self.detect(images)
        found, log_std = (x.unflatten(0, shape) for x in (found, log_std))
        output = CropOutput(crops, found[0, :, :, :count], log_std[0, :, :, :count])
        if squares is None:
            return output
        anchors = CropOutput(squares, found[1, :, :, count:], log_std[1, :, :, count:])
        return output._replace(anchors=anchors)

    def _cut(self, windows: Windows, crops: Crops) -> Tensor:
        """Crops (B*V, 3, C, C), bilinear; what lies outside the windows is black."""
        centre = (crops.centre - windows.corner) / windows.extent
        side = crops.side / windows.extent
        images = channels_first(windows.images)
        return cut_squares(images, centre.flatten(0, 1), side.flatten(), self.crop_size)

    def _cut_anchors(self, windows: Windows, squares: Crops) -> Tensor:
        if windows.anchor_crops is not None:
            return channels_first(windows.anchor_crops)
        return self._cut(windows, squares)
