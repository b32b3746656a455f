"""What a pose network gives, its heads, and the networks by name."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from opendactyl.geometry.torch_rotation import matrix_from_6d, orthogonalize, quat_to_matrix

HEADS = {"9d": 9, "6d": 6, "quaternion": 4}
"""Rotation heads and the numbers each needs."""
CENTRE = (-0.01, 0.0, 0.01)
SPREAD = 0.03
"""Positions are learned as offsets from this point of the hand frame, on this scale, in metres."""


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


def rotation_from_raw(raw: Tensor) -> Tensor:
    """Rotation matrices (B, 3, 3) from a head's numbers (B, 9, 6 or 4).

    The nearest rotation to nine numbers is for reading only: what trains a 9D head are the raw
    numbers, whose gradient is well behaved everywhere.
    """
    raw = raw.float()
    if raw.shape[-1] == 9:
        return orthogonalize(raw.detach())
    if raw.shape[-1] == 6:
        return matrix_from_6d(raw)
    return quat_to_matrix(nn.functional.normalize(raw, dim=-1))


class PoseHead(nn.Module):
    """Fused features to position, rotation and their uncertainty."""

    def __init__(self, features: int, head: str, hidden: int = 256) -> None:
        """A head of one hidden layer; `head` is a key of `HEADS`."""
        super().__init__()
        if head not in HEADS:
            raise ValueError(f"head {head!r} must be one of {', '.join(HEADS)}")
        self.hidden = nn.Sequential(nn.Linear(features, hidden), nn.ReLU())
        self.position = nn.Linear(hidden, 3)
        self.rotation = nn.Linear(hidden, HEADS[head])
        self.log_std = nn.Linear(hidden, 2)
        with torch.no_grad():
            self.log_std.weight *= 0.1
            self.log_std.bias.copy_(torch.tensor([-4.5, -1.5]))

    def forward(self, features: Tensor) -> PoseOutput:
        """Estimates from features (B, F)."""
        hidden = self.hidden(features)
        centre = torch.tensor(CENTRE, device=features.device)
        raw = self.rotation(hidden).float()
        return PoseOutput(
            position=self.position(hidden).float() * SPREAD + centre,
            rotation=rotation_from_raw(raw),
            log_std=self.log_std(hidden).float().clamp(-8.0, 2.0),
            raw=raw,
        )


def standardize(images: Tensor) -> Tensor:
    """Images uint8 (B, V, H, W, 3) to (B*V, 3, H, W) with zero mean and unit variance (D18 C.2)."""
    x = images.flatten(0, 1).permute(0, 3, 1, 2).float()
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    square = (x * x).mean(dim=(1, 2, 3), keepdim=True) - mean * mean
    x = (x - mean) * torch.rsqrt(square.clamp_min(1.0))
    return x.contiguous(memory_format=torch.channels_last)


def build_pose_network(name: str, **options: Any) -> nn.Module:
    """Builds a network by name.

    Args:
        name: a key of `POSE_NETWORKS`.
        **options: `views`, `head`, `points` (the object's keypoints (K, 3), object frame) and
            `anchors` (points (M, 3) that never move in the hand frame).

    Raises:
        ValueError: there is no such network.
    """
    from opendactyl.models.pose.dactyl import DactylNetwork
    from opendactyl.models.pose.keypoint import KeypointNetwork
    from opendactyl.models.pose.landmark import LandmarkNetwork
    from opendactyl.models.pose.resnet import ResnetNetwork

    networks = {
        "landmark": LandmarkNetwork,
        "keypoint": KeypointNetwork,
        "dactyl": DactylNetwork,
        "resnet18": partial(ResnetNetwork, 18),
        "resnet50": partial(ResnetNetwork, 50),
    }
    if name not in networks:
        raise ValueError(f"no network {name!r}; the networks are {', '.join(networks)}")
    return networks[name](**options)


POSE_NETWORKS = ("landmark", "keypoint", "dactyl", "resnet18", "resnet50")
"""The names that `--model` takes; the first is the default."""
