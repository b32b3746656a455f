"""A first estimate from whole views, a second one from crops of the frames around it.

The second look only adds image points: Gauss-Newton continues from the first estimate with them,
and the first one's information matrix is its prior.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from opendactyl.models.pose.blocks import channels_first
from opendactyl.models.pose.close_up import CloseUp, Windows, anchor_squares
from opendactyl.models.pose.networks.keypoint import KeypointNetwork
from opendactyl.models.pose.networks.landmark import LandmarkNetwork
from opendactyl.models.pose.observations import (
    Observations,
    anchors_jitter,
    project,
    projection_matrices,
)
from opendactyl.models.pose.outputs import CropOutput, Crops, PoseOutput
from opendactyl.models.pose.refinement import refine

REDUCTION = 3
"""Ratio of the size of the frames to that of the views of the first stage."""
STEPS = 2
"""Steps of Gauss-Newton after the second look."""
NOISE = 0.05
"""Standard deviation of the crops' centres and sides in training, as fractions of the side: errors
of a first estimate."""


class Near(NamedTuple):
    """Where to look in training, instead of around the first estimate."""

    position: Tensor
    """Position (B, 3) of the keypoints' centroid in metres, hand frame."""
    centre: Tensor
    """Its image points (B, V, 2), 0 to 1 across the view."""


class TwoStageNetwork(nn.Module):
    """Wraps the network of the first stage."""

    def __init__(self, first: LandmarkNetwork | KeypointNetwork, crop_size: int) -> None:
        """Adds the second stage to a network; `crop_size` is the size of its crops in pixels."""
        super().__init__()
        self.first = first
        self.any_cameras = getattr(first, "any_cameras", False)
        self.second = CloseUp(first.points.tolist(), len(first.anchors), crop_size)
        self.spread = nn.Parameter(torch.zeros(2 + first.hinges.count))
        self.log_trust = nn.Parameter(torch.zeros(()))
        """Logarithm of the weight of the first estimate: its errors are not independent."""

    def forward(
        self,
        images: Tensor,
        intrinsics: Tensor,
        cam_from_hand: Tensor,
        windows: Windows | None = None,
        near: Near | None = None,
    ) -> PoseOutput:
        """Poses from frames.

        Args:
            images: frames uint8 (B, V, F, F, 3); with `windows`, views of a third of that size.
            intrinsics: nominal K (V, 3, 3) for pixels of the frames.
            cam_from_hand: nominal extrinsics (V, 4, 4).
            windows: parts of the frames around the object; None: `images` are the frames.
            near: where to look; None: around the first estimate.
        """
        size = images.shape[2]
        if windows is None:
            batch = images.shape[0]
            windows = Windows(images, torch.zeros_like(images[:, :, 0, 0, :2]).float(), 1.0)
            reduced = functional.avg_pool2d(channels_first(images), REDUCTION)
            images = reduced.permute(0, 2, 3, 1).unflatten(0, (batch, -1))
        else:
            size *= REDUCTION
        scale = torch.tensor([1 / REDUCTION, 1 / REDUCTION, 1.0], device=intrinsics.device)
        first = self.first(images, intrinsics * scale[:, None], cam_from_hand)
        with torch.autocast(images.device.type, enabled=False):
            cameras = projection_matrices(intrinsics, cam_from_hand, size)
            crops = self._crops(first, cameras, near)
            squares = self._anchor_squares(cameras, crops)
        return self._second(first, self.second(windows, crops, squares), cameras)

    def _crops(self, first: PoseOutput, cameras: Tensor, near: Near | None) -> Crops:
        if near is not None:
            side = self.second.side(near.position, cameras)
            noise = NOISE * torch.randn_like(near.centre) * side[..., None]
            return Crops(near.centre + noise, side * torch.exp(NOISE * torch.randn_like(side)))
        arm = first.rotation.detach() @ self.second.centroid
        position = first.position.detach() + arm
        centre, _ = project(position[:, None], cameras)  # (B, V, 1, 2)
        assert first.observations is not None
        jitter = first.observations.jitter
        centre = centre if jitter is None else jitter.applied(centre)
        return Crops(centre[:, :, 0].detach(), self.second.side(position, cameras))

    def _anchor_squares(self, cameras: Tensor, crops: Crops) -> Crops | None:
        """Where the anchors are, if there are any; as many as `crops`."""
        anchors = self.first.anchors
        if not len(anchors):
            return None
        centre, side = anchor_squares(project(anchors[None], cameras)[0][0])
        return Crops(centre.expand_as(crops.centre), side.expand_as(crops.side))

    def _second(self, first: PoseOutput, found: CropOutput, cameras: Tensor) -> PoseOutput:
        with torch.autocast(cameras.device.type, enabled=False):
            seen = first.observations
            assert seen is not None and first.information is not None
            (image_points, weight), jitter = found.in_view(), seen.jitter
            if found.anchors is not None:
                jitter = anchors_jitter(*found.anchors.in_view(), self.first.anchors, cameras)
            if jitter is not None:
                image_points = jitter.undone(image_points)
            observations = Observations(image_points, weight, seen.points, cameras, jitter)
            angles = None if first.angles is None else first.angles.detach()
            refined = refine(
                first.position.detach(),
                first.rotation.detach(),
                first.information.detach() * self.log_trust.exp(),
                observations,
                STEPS,
                None if angles is None else (self.first.hinges, angles),
            )
            output = refined.output(self.spread)
            output.keypoints, output.keypoints_log_std = first.keypoints, first.keypoints_log_std
            output.tokens, output.first, output.second = first.tokens, first, found
            return output
