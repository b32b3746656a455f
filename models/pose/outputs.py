"""The output of a pose network."""

from dataclasses import dataclass

import torch
from torch import Tensor

MIN_LOG_STD, MAX_LOG_STD = -7.0, -1.0
"""Bounds of an image point's log standard deviation: a tenth of a pixel to a third of a view."""


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

    def covariance(self) -> Tensor:
        """Covariance (B, 6, 6): position (m), then rotation vector (rad), hand frame."""
        std = torch.exp(self.log_std[:, :2]).repeat_interleave(3, dim=-1)
        relative = self.relative_covariance
        if relative is None:
            relative = torch.eye(6, device=std.device)
        return relative * (std[:, :, None] * std[:, None, :])
