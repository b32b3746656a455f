"""torchvision's ResNets as towers shared by all views, after D19's estimator (D19 C.3)."""

from collections.abc import Sequence
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from opendactyl.models.pose.blocks import standardize
from opendactyl.models.pose.heads import PoseHead
from opendactyl.models.pose.outputs import PoseOutput
from opendactyl.models.pose.priors import FORMER, PosePriors

POOLED = 2
"""Cells per side that the last map of each view is pooled to before concatenation."""


class ResnetNetwork(nn.Module):
    """One tower shared by the cameras, pooling, concatenation, two dense layers."""

    def __init__(
        self,
        depth: int,
        *,
        views: int,
        head: str = "9d",
        points: Sequence[Sequence[float]] = (),
        anchors: Sequence[Sequence[float]] = (),
        priors: PosePriors = FORMER,
        hinges: Sequence[dict[str, Any]] = (),
    ) -> None:
        """Builds a ResNet of 18 or 50 layers, without `points` and `anchors`."""
        super().__init__()
        build = {18: torchvision.models.resnet18, 50: torchvision.models.resnet50}[depth]
        tower = build(weights=None)
        channels = tower.fc.in_features
        tower.fc = nn.Identity()  # pyright: ignore[reportAttributeAccessIssue]
        tower.avgpool = nn.AdaptiveAvgPool2d(POOLED)
        self.tower = tower
        self.fuse = nn.Sequential(nn.Linear(views * channels * POOLED**2, 512), nn.ReLU())
        self.head = PoseHead(512, head, priors, hinges=len(hinges))

    def load_backbone(self, weights: dict[str, Tensor]) -> None:
        """Loads the tower's weights from a torchvision state dict, without its classifier.

        Raises:
            RuntimeError: the state dict belongs to another network.
        """
        tower = {name: value for name, value in weights.items() if not name.startswith("fc.")}
        self.tower.load_state_dict(tower)

    def forward(self, images: Tensor, intrinsics: Tensor, cam_from_hand: Tensor) -> PoseOutput:
        """Poses from images uint8 (B, V, H, W, 3); the camera arguments are unused."""
        features = self.tower(standardize(images)).reshape(images.shape[0], -1)
        with torch.autocast(images.device.type, enabled=False):
            return self.head(self.fuse(features.float()))
