"""Landmarks seen in every view, fused into one pose.

An hourglass finds the object's keypoints as heat maps, supervised by their projections, with the
anchors on the hand's mount, which tell how a camera has moved, and free landmarks that it may
place where it likes. A dense net reads a first pose off all of them; Gauss-Newton on the
landmarks' places through the nominal cameras then refines it, each landmark weighted by how sure
the network is of it.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from opendactyl.models.pose.blocks import CONTEXT, Hourglass, SpatialSoftmax, standardize
from opendactyl.models.pose.heads import PoseHead
from opendactyl.models.pose.outputs import PoseOutput
from opendactyl.models.pose.refinement import deviations, gather, place_intrinsics, refine

FREE = 24
"""Landmarks without supervision."""
MIN_LOG_STD, MAX_LOG_STD = -7.0, -1.0
"""Bounds of a place's deviation: a tenth of a pixel to a third of a view."""


class LandmarkNetwork(nn.Module):
    """Shared hourglass per camera, spatial softmax, dense first pose, geometric refinement."""

    points: Tensor
    anchors: Tensor

    def __init__(
        self,
        *,
        views: int,
        head: str = "9d",
        points: Sequence[Sequence[float]],
        anchors: Sequence[Sequence[float]],
    ) -> None:
        """A network for `views` cameras in a fixed order; see `build_pose_network`."""
        super().__init__()
        self.register_buffer("points", torch.tensor(points, dtype=torch.float32))
        self.register_buffer("anchors", torch.tensor(anchors, dtype=torch.float32))
        self.supervised = len(points) + len(anchors)
        landmarks = self.supervised + FREE
        self.tower = Hourglass(landmarks)
        self.softmax = SpatialSoftmax(landmarks)
        self.certainty = nn.Sequential(
            nn.Linear(CONTEXT + landmarks, 128), nn.ReLU(), nn.Linear(128, self.supervised)
        )
        self.fuse = nn.Sequential(nn.Linear(views * (3 * landmarks + CONTEXT), 320), nn.ReLU())
        self.head = PoseHead(320, head)
        self.spread = nn.Linear(320, 2)
        with torch.no_grad():
            self.certainty[2].bias.fill_(-3.0)  # pyright: ignore
            self.spread.weight.zero_()
            self.spread.bias.zero_()

    def forward(self, images: Tensor, intrinsics: Tensor, cam_from_hand: Tensor) -> PoseOutput:
        """Poses from images uint8 (B, V, H, W, 3), nominal K (V, 3, 3), extrinsics (V, 4, 4)."""
        # Not len(): the exported network takes any batch size.
        batch, size = images.shape[0], images.shape[2]
        maps, context = self.tower(standardize(images))
        with torch.autocast(images.device.type, enabled=False):
            places, peaks = self.softmax(maps.float())
            peaks = torch.log(peaks + 1e-6)
            seen = torch.cat([peaks, context.float()], dim=1)
            log_std = self.certainty(seen).clamp(MIN_LOG_STD, MAX_LOG_STD)
            features = torch.cat([places.flatten(1) * 2 - 1, seen], dim=1).reshape(batch, -1)
            fused = self.fuse(features)
            first = self.head(fused)
            places = places.unflatten(0, (batch, -1))[:, :, : self.supervised]
            log_std = log_std.unflatten(0, (batch, -1))
            cameras = (place_intrinsics(intrinsics, size), cam_from_hand)
            return self._refined(first, places, log_std, cameras, self.spread(fused))

    def _refined(
        self,
        first: PoseOutput,
        places: Tensor,
        log_std: Tensor,
        cameras: tuple[Tensor, Tensor],
        spread: Tensor,
    ) -> PoseOutput:
        evidence = gather(places, log_std, self.points, self.anchors, cameras)
        position, rotation, covariance = refine(
            first.position.detach(),
            first.rotation.detach(),
            torch.exp(-2 * first.log_std.detach()),
            evidence,
        )
        return PoseOutput(
            position=position,
            rotation=rotation,
            log_std=deviations(covariance, spread),
            places=places,
            places_log_std=log_std,
            first=first,
        )
