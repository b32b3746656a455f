"""The output of a pose network."""

from dataclasses import dataclass

from torch import Tensor


@dataclass
class PoseOutput:
    """Estimates for a batch of B samples."""

    position: Tensor
    """(B, 3) in metres, hand frame."""
    rotation: Tensor
    """Rotation matrices (B, 3, 3)."""
    log_std: Tensor
    """Logarithms (B, 2) of the standard deviations per axis: position (m), rotation (rad)."""
    raw: Tensor | None = None
    """What the rotation head gave (B, 9, 6 or 4), if one gave this estimate."""
    places: Tensor | None = None
    """Where the object's keypoints, then the anchors, are seen (B, V, K, 2), from 0 to 1."""
    places_log_std: Tensor | None = None
    """Logarithms (B, V, K) of the standard deviations of the places, per axis."""
    first: "PoseOutput | None" = None
    """The estimate that this one was refined from."""
