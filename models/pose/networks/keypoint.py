"""Keypoints in every view, triangulated and aligned: any number and placement of cameras.

Each view is processed independently and combined by geometry alone. Heat maps give image points of
the object's keypoints and of the anchors on the hand's mount; the anchors correct for jitter of
the cameras; the nominal cameras' rays are triangulated; a weighted rigid alignment of the object to
the triangulated points initialises Gauss-Newton on the image points.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from opendactyl.models.pose.blocks import standardize
from opendactyl.models.pose.detector import Detector
from opendactyl.models.pose.hinges import Hinges
from opendactyl.models.pose.observations import align, projection_matrices, stabilize, triangulate
from opendactyl.models.pose.outputs import PoseOutput
from opendactyl.models.pose.priors import FORMER, PosePriors, PositionPrior
from opendactyl.models.pose.refinement import refine

PRIOR_ROTATION = 1.0
"""Standard deviation of the aligned rotation and angles of hinges as a prior of Gauss-Newton, in
radians. Wide, as is that of the position: `PosePriors.reach`."""


class KeypointNetwork(Detector):
    """Hourglass shared by the cameras, then geometry."""

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
        priors: PosePriors = FORMER,
        hinges: Sequence[dict[str, Any]] = (),
    ) -> None:
        """Builds the layers; see `build_pose_network`. `views` and `head` are unused."""
        landmarks = len(points) + len(anchors)
        super().__init__(landmarks, landmarks)
        self.register_buffer("points", torch.tensor(points, dtype=torch.float32))
        self.register_buffer("anchors", torch.tensor(anchors, dtype=torch.float32).reshape(-1, 3))
        self.hinges = Hinges(points, hinges)
        self.log_scale = nn.Parameter(torch.zeros(2 + self.hinges.count))
        self.prior = PositionPrior(priors)

    def forward(self, images: Tensor, intrinsics: Tensor, cam_from_hand: Tensor) -> PoseOutput:
        """Poses from images uint8 (B, V, H, W, 3), nominal K (V, 3, 3), extrinsics (V, 4, 4)."""
        batch, size = images.shape[0], images.shape[2]
        keypoints, log_std, _ = self.detect(standardize(images))
        with torch.autocast(images.device.type, enabled=False):
            keypoints, log_std = (x.unflatten(0, (batch, -1)) for x in (keypoints, log_std))
            cameras = projection_matrices(intrinsics, cam_from_hand, size)
            return self._solve(keypoints, log_std, cameras)

    def _solve(self, keypoints: Tensor, log_std: Tensor, cameras: Tensor) -> PoseOutput:
        observations = stabilize(keypoints, log_std, self.points, self.anchors, cameras)
        reach = self.prior.reach
        triangulated, certainty = triangulate(observations, self.prior.centre, reach)
        # Detached: Gauss-Newton converges to the same pose from any start nearby, and the gradient
        # of the alignment's rotation is unbounded for degenerate points.
        triangulated, certainty = triangulated.detach(), certainty.detach()
        position, rotation = align(self.points, triangulated, certainty * self.hinges.on_body)
        articulated = None
        if self.hinges.count:
            in_object = (triangulated - position[:, None]) @ rotation
            articulated = self.hinges, self.hinges.fit(self.points, in_object, certainty)
        widths = [reach, *[torch.full_like(reach, PRIOR_ROTATION)] * (1 + self.hinges.count)]
        # Not len(): it would fix the exported batch.
        prior = torch.stack(widths).pow(-2).expand(keypoints.shape[0], -1)
        refined = refine(position, rotation, prior, observations, articulated=articulated)
        output = refined.output(self.log_scale)
        output.keypoints, output.keypoints_log_std = keypoints, log_std
        output.observations, output.information = observations, refined.information
        return output
