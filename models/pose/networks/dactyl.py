"""Dactyl's network (D18 Table 12) with smaller strides.

Read literally, the table's four stages of stride 3 shrink a 200×200 image to 1×1, where a spatial
softmax is constant. The stages here have strides 1, 2, 1 and 1 after the pooling: 32×32 at 200.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from opendactyl.models.pose.blocks import ResidualBlock, SpatialSoftmax, standardize
from opendactyl.models.pose.heads import PoseHead
from opendactyl.models.pose.outputs import PoseOutput
from opendactyl.models.pose.priors import FORMER, PosePriors


class DactylNetwork(nn.Module):
    """One tower shared by the cameras, spatial softmax, concatenation, two dense layers."""

    def __init__(
        self,
        *,
        views: int,
        head: str = "9d",
        points: Sequence[Sequence[float]] = (),
        anchors: Sequence[Sequence[float]] = (),
        priors: PosePriors = FORMER,
        hinges: Sequence[dict[str, Any]] = (),
    ) -> None:
        """Builds a network for `views` cameras in a fixed order, without `points` and `anchors`."""
        super().__init__()
        self.tower = nn.Sequential(
            nn.Conv2d(3, 32, 5), nn.ReLU(inplace=True),
            nn.Conv2d(32, 32, 3), nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 3),
            ResidualBlock(32, 16),
            ResidualBlock(16, 32, 2), ResidualBlock(32, 32),
            ResidualBlock(32, 64), ResidualBlock(64, 64),
            ResidualBlock(64, 64), ResidualBlock(64, 64),
        )  # fmt: skip
        self.softmax = SpatialSoftmax(64)
        self.head = PoseHead(views * 128, head, priors, hidden=128, hinges=len(hinges))

    def forward(self, images: Tensor, intrinsics: Tensor, cam_from_hand: Tensor) -> PoseOutput:
        """Poses from images uint8 (B, V, H, W, 3); the camera arguments are unused."""
        maps = self.tower(standardize(images))
        with torch.autocast(images.device.type, enabled=False):
            points, _ = self.softmax(maps.float())
            features = points.reshape(images.shape[0], -1)
            return self.head(features * 2 - 1)
