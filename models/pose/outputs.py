"""The output of a pose network."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from opendactyl.geometry.torch_ops.rotation import matrix_to_quat
from opendactyl.models.pose.observations import Observations

MIN_LOG_STD, MAX_LOG_STD = -7.0, -1.0
"""Bounds of an image point's log standard deviation: a tenth of a pixel to a third of a view."""


class Crops(NamedTuple):
    """Squares of the views: B samples, V views."""

    centre: Tensor
    """Centres (B, V, 2), 0 to 1 across the view."""
    side: Tensor
    """Sides (B, V) as fractions of the view."""

    def inside(self, points: Tensor) -> Tensor:
        """Points of the views (B, V, K, 2) as points of the crops, 0 to 1 across the crop."""
        return (points - self.centre[:, :, None]) / self.side[..., None, None] + 0.5

    def outside(self, points: Tensor) -> Tensor:
        """The inverse of `inside`."""
        return (points - 0.5) * self.side[..., None, None] + self.centre[:, :, None]


class CropOutput(NamedTuple):
    """What the second look found."""

    crops: Crops
    keypoints: Tensor
    """Image points (B, V, K, 2) of the object's keypoints, 0 to 1 across the crop."""
    log_std: Tensor
    """Their log standard deviations (B, V, K), per axis."""
    anchors: "CropOutput | None" = None
    """Likewise the anchors, in crops that are the same for all samples."""

    def in_view(self) -> tuple[Tensor, Tensor]:
        """Normalised image points (B, V, K, 2), and their inverse variances (B, V, K)."""
        weight = torch.exp(-2 * self.log_std) / self.crops.side[..., None] ** 2
        return self.crops.outside(self.keypoints), weight


@dataclass
class PoseOutput:
    """Estimates for a batch of B samples."""

    position: Tensor
    """(B, 3) in metres, hand frame."""
    rotation: Tensor
    """Rotation matrices (B, 3, 3)."""
    log_std: Tensor
    """Log standard deviations (B, 2 + H): position (m) and rotation (rad), root mean square over
    the axes, and angles of hinges (rad)."""
    raw: Tensor | None = None
    """Raw output of the rotation head (B, 9, 6 or 4); None after refinement."""
    keypoints: Tensor | None = None
    """Image points of the object's keypoints, then of the anchors (B, V, K, 2), normalised: 0 to 1
    across the image."""
    keypoints_log_std: Tensor | None = None
    """Log standard deviations (B, V, K) of the image points, per axis."""
    initial: "PoseOutput | None" = None
    """The estimate that refinement started from."""
    relative_covariance: Tensor | None = None
    """Covariance (B, 6, 6) divided by the variances of `log_std`; None is the identity."""
    angles: Tensor | None = None
    """Angles of the object's hinges (B, H) in radians; None of a rigid object."""
    raw_angles: Tensor | None = None
    """Raw output of the head (B, H, 2), cosine and sine; None after refinement."""
    tokens: Tensor | None = None
    """Features (B, V, T) of each view from which the poses are fused, for policies."""

    observations: Observations | None = None
    """The image points of a refined estimate."""
    information: Tensor | None = None
    """`Refined.information` of a refined estimate."""
    first: "PoseOutput | None" = None
    """The estimate from whole views, where crops were looked at too."""
    second: CropOutput | None = None
    """What was found in the crops."""

    def estimates(self) -> tuple[Tensor, ...]:
        """Positions (B, 3), quaternions (B, 4) and covariances (B, 6, 6).

        With hinges, also their angles and the standard deviations of these (B, H).
        """
        pose = (self.position, matrix_to_quat(self.rotation), self.covariance())
        if self.angles is None:
            return pose
        return (*pose, self.angles, torch.exp(self.log_std[:, 2:]))

    def image_points(self, count: int) -> tuple[Tensor, Tensor] | None:
        """Image points (B, V, K, 2) of the object's `count` keypoints, and deviations (B, V, K).

        Those of the crops where these were looked at; None of a network that detects none.
        """
        if self.second is not None:
            points, weight = self.second.in_view()
            return points, weight.rsqrt()
        if self.keypoints is None or self.keypoints_log_std is None:
            return None
        return self.keypoints[:, :, :count], torch.exp(self.keypoints_log_std[:, :, :count])

    def covariance(self) -> Tensor:
        """Covariance (B, 6, 6): position (m), then rotation vector (rad), hand frame."""
        std = torch.exp(self.log_std[:, :2]).repeat_interleave(3, dim=-1)
        relative = self.relative_covariance
        if relative is None:
            relative = torch.eye(6, device=std.device)
        return relative * (std[:, :, None] * std[:, None, :])
