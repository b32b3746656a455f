"""Landmarks seen in every view, fused into one pose.

An hourglass finds the object's corners and face centres as heat maps, supervised by their
projections, beside free landmarks that it may place where it likes: on the hand's mount, say,
which tells it how a camera has moved. A dense net reads the pose off all of them.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from opendactyl.models.blocks import ResidualBlock, SpatialSoftmax
from opendactyl.models.pose import PoseHead, PoseOutput, standardize

FREE = 32
"""Landmarks without supervision."""
CONTEXT = 96
"""Channels of the coarsest map, whose mean is read beside the landmarks."""


class LandmarkNetwork(nn.Module):
    """Shared hourglass per camera, spatial softmax, concatenation, dense head."""

    def __init__(self, *, views: int, head: str = "9d", keypoints: int = 14) -> None:
        """A network for `views` cameras in a fixed order and `keypoints` supervised landmarks."""
        super().__init__()
        self.keypoints = keypoints
        self.stem = nn.Sequential(
            nn.Conv2d(3, 24, 5, 2, padding=2, bias=False), nn.BatchNorm2d(24), nn.ReLU(inplace=True)
        )
        self.quarter = nn.Sequential(ResidualBlock(24, 48, 2), ResidualBlock(48, 48))
        self.eighth = nn.Sequential(ResidualBlock(48, 96, 2), ResidualBlock(96, 96))
        self.sixteenth = nn.Sequential(
            ResidualBlock(96, 96, 2), ResidualBlock(96, 96), ResidualBlock(96, CONTEXT)
        )
        self.join_eighth = ResidualBlock(96, 96)
        self.lift = nn.Conv2d(96, 48, 1)
        self.join_quarter = ResidualBlock(48, 48)
        self.maps = nn.Conv2d(48, keypoints + FREE, 1)
        self.softmax = SpatialSoftmax(keypoints + FREE)
        features = views * (3 * (keypoints + FREE) + CONTEXT)
        self.fuse = nn.Sequential(nn.Linear(features, 320), nn.ReLU(inplace=True))
        self.head = PoseHead(320, head, hidden=256)

    def forward(self, images: Tensor, intrinsics: Tensor, cam_from_hand: Tensor) -> PoseOutput:
        """Poses from images uint8 (B, V, H, W, 3); the cameras are learned, not read."""
        quarter = self.quarter(self.stem(standardize(images)))
        eighth = self.eighth(quarter)
        context = self.sixteenth(eighth)
        eighth = self.join_eighth(eighth + _grown(context, eighth))
        quarter = self.join_quarter(quarter + self.lift(_grown(eighth, quarter)))
        places, peaks = self.softmax(self.maps(quarter))
        # Not len(): the exported network takes any batch size.
        batch = images.shape[0]
        seen = torch.cat(
            [places.flatten(1) * 2 - 1, peaks, context.float().mean(dim=(2, 3))], dim=1
        )
        landmarks = places.unflatten(0, (batch, -1))[:, :, : self.keypoints]
        return self.head(self.fuse(seen.reshape(batch, -1)), landmarks)


def _grown(x: Tensor, like: Tensor) -> Tensor:
    """A coarse map on the grid of a finer one."""
    return functional.interpolate(x, size=like.shape[-2:], mode="nearest")
