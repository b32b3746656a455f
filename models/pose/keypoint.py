"""Keypoints in every view, triangulated and aligned: any number and placement of cameras.

Each view is looked at by itself; what joins them is geometry alone. Heat maps give the places of
the object's keypoints and of the anchors on the hand's mount, the anchors undo the cameras'
jitter, rays through the nominal cameras meet in points, a weighted rigid alignment takes the
object to the points, and Gauss-Newton on the places has the last word.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from opendactyl.models.pose.blocks import CONTEXT, Hourglass, SpatialSoftmax, standardize
from opendactyl.models.pose.heads import CENTRE
from opendactyl.models.pose.landmark import MAX_LOG_STD, MIN_LOG_STD
from opendactyl.models.pose.outputs import PoseOutput
from opendactyl.models.pose.refinement import (
    align,
    deviations,
    gather,
    place_intrinsics,
    refine,
    triangulate,
)

PRIOR_STD = (0.1, 1.0)
"""How much the aligned pose is trusted against the places: metres, radians; hardly."""


class KeypointNetwork(nn.Module):
    """Shared hourglass per camera, then geometry."""

    any_cameras = True
    """A trained network works with cameras of any number and placement."""
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
        """A network for any cameras; see `build_pose_network`. `views` and `head` are not used."""
        super().__init__()
        self.register_buffer("points", torch.tensor(points, dtype=torch.float32))
        self.register_buffer("anchors", torch.tensor(anchors, dtype=torch.float32))
        landmarks = len(points) + len(anchors)
        self.tower = Hourglass(landmarks)
        self.softmax = SpatialSoftmax(landmarks)
        self.certainty = nn.Sequential(
            nn.Linear(CONTEXT + landmarks, 128), nn.ReLU(), nn.Linear(128, landmarks)
        )
        self.log_scale = nn.Parameter(torch.zeros(2))
        with torch.no_grad():
            self.certainty[2].bias.fill_(-3.0)  # pyright: ignore

    def forward(self, images: Tensor, intrinsics: Tensor, cam_from_hand: Tensor) -> PoseOutput:
        """Poses from images uint8 (B, V, H, W, 3), nominal K (V, 3, 3), extrinsics (V, 4, 4)."""
        batch, size = images.shape[0], images.shape[2]
        maps, context = self.tower(standardize(images))
        with torch.autocast(images.device.type, enabled=False):
            places, peaks = self.softmax(maps.float())
            seen = torch.cat([torch.log(peaks + 1e-6), context.float()], dim=1)
            log_std = self.certainty(seen).clamp(MIN_LOG_STD, MAX_LOG_STD)
            places, log_std = (x.unflatten(0, (batch, -1)) for x in (places, log_std))
            return self._pose(places, log_std, (place_intrinsics(intrinsics, size), cam_from_hand))

    def _pose(self, places: Tensor, log_std: Tensor, cameras: tuple[Tensor, Tensor]) -> PoseOutput:
        evidence = gather(places, log_std, self.points, self.anchors, cameras)
        met, certainty = triangulate(evidence, torch.tensor(CENTRE, device=places.device))
        # A start for Gauss-Newton, whose result is the same from any start nearby: gradients
        # reach the places through it, and not through a rotation that may be ill defined.
        position, rotation = align(self.points, met.detach(), certainty.detach())
        precision = torch.tensor(PRIOR_STD, device=places.device).pow(-2).expand(len(places), 2)
        position, rotation, covariance = refine(position, rotation, precision, evidence)
        return PoseOutput(
            position=position,
            rotation=rotation,
            log_std=deviations(covariance, self.log_scale),
            places=places,
            places_log_std=log_std,
        )
