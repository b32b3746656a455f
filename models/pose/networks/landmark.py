"""Landmarks detected in every view, fused into one pose.

An hourglass detects the object's keypoints as heat maps, supervised by their projections, together
with the anchors on the hand's mount, which reveal how a camera has moved, and free landmarks
without supervision. A dense network predicts an initial pose from all of them; Gauss-Newton on the
image points through the nominal cameras refines it, each point weighted by its predicted variance.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from opendactyl.models.pose.blocks import CONTEXT, standardize
from opendactyl.models.pose.detector import Detector
from opendactyl.models.pose.heads import PoseHead
from opendactyl.models.pose.hinges import Hinges
from opendactyl.models.pose.observations import projection_matrices, stabilize
from opendactyl.models.pose.outputs import PoseOutput
from opendactyl.models.pose.priors import FORMER, PosePriors
from opendactyl.models.pose.refinement import refine

FREE = 24
"""Landmarks without supervision."""


class LandmarkNetwork(Detector):
    """Hourglass shared by the cameras, spatial softmax, dense initial pose, refinement."""

    points: Tensor
    anchors: Tensor

    def __init__(
        self,
        *,
        views: int,
        head: str = "9d",
        points: Sequence[Sequence[float]],
        anchors: Sequence[Sequence[float]],
        priors: PosePriors = FORMER,
        hinges: Sequence[dict[str, Any]] = (),
    ) -> None:
        """Builds a network for `views` cameras in a fixed order; see `build_pose_network`."""
        supervised = len(points) + len(anchors)
        landmarks = supervised + FREE
        super().__init__(landmarks, supervised)
        self.register_buffer("points", torch.tensor(points, dtype=torch.float32))
        self.register_buffer("anchors", torch.tensor(anchors, dtype=torch.float32).reshape(-1, 3))
        self.supervised = supervised
        self.fuse = nn.Sequential(nn.Linear(views * (3 * landmarks + CONTEXT), 320), nn.ReLU())
        self.hinges = Hinges(points, hinges)
        self.head = PoseHead(320, head, priors, hinges=self.hinges.count)
        self.spread = nn.Linear(320, 2 + self.hinges.count)
        with torch.no_grad():
            self.spread.weight.zero_()
            self.spread.bias.zero_()

    def forward(self, images: Tensor, intrinsics: Tensor, cam_from_hand: Tensor) -> PoseOutput:
        """Poses from images uint8 (B, V, H, W, 3), nominal K (V, 3, 3), extrinsics (V, 4, 4)."""
        # Not len(): the exported network takes any batch size.
        batch, size = images.shape[0], images.shape[2]
        keypoints, log_std, confidence = self.detect(standardize(images))
        with torch.autocast(images.device.type, enabled=False):
            features = torch.cat([keypoints.flatten(1) * 2 - 1, confidence], dim=1)
            tokens = features.unflatten(0, (batch, -1))
            fused = self.fuse(tokens.flatten(1))
            keypoints = keypoints.unflatten(0, (batch, -1))[:, :, : self.supervised]
            log_std = log_std.unflatten(0, (batch, -1))
            cameras = projection_matrices(intrinsics, cam_from_hand, size)
            observations = stabilize(keypoints, log_std, self.points, self.anchors, cameras)
            initial = self.head(fused)
            refined = refine(
                initial.position.detach(),
                initial.rotation.detach(),
                torch.exp(-2 * initial.log_std.detach()),
                observations,
                articulated=None if initial.angles is None else (self.hinges, initial.angles),
            )
            output = refined.output(self.spread(fused))
            output.keypoints, output.keypoints_log_std = keypoints, log_std
            output.observations, output.information = observations, refined.information
            output.initial, output.tokens = initial, tokens
            return output
