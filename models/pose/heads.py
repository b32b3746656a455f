"""Pose heads: fused features to position, rotation and their uncertainty."""

import math

import torch
from torch import Tensor, nn

from opendactyl.geometry.torch_ops.rotation import matrix_from_6d, orthogonalize, quat_to_matrix
from opendactyl.models.choices import HEADS
from opendactyl.models.pose.outputs import PoseOutput
from opendactyl.models.pose.priors import PosePriors, PositionPrior

ROTATION_LOG_STD = -1.5
"""First estimate of the rotation's log standard deviation."""


def rotation_from_raw(raw: Tensor) -> Tensor:
    """Rotation matrices (B, 3, 3) from a head's raw output (B, 9, 6 or 4).

    No gradient passes through the orthogonalisation of a 9D output: the loss is on the raw
    numbers, whose gradient is well behaved everywhere.
    """
    raw = raw.float()
    if raw.shape[-1] == 9:
        return orthogonalize(raw.detach())
    if raw.shape[-1] == 6:
        return matrix_from_6d(raw)
    return quat_to_matrix(nn.functional.normalize(raw, dim=-1))


class PoseHead(nn.Module):
    """Two dense layers from features to position, rotation and log standard deviations.

    With hinges, also to the cosine and sine of their angles.
    """

    def __init__(
        self, features: int, head: str, priors: PosePriors, hidden: int = 256, hinges: int = 0
    ) -> None:
        """Builds the layers; `head` is a key of `HEADS`, `hinges` the number of hinges."""
        super().__init__()
        if head not in HEADS:
            raise ValueError(f"head {head!r} must be one of {', '.join(HEADS)}")
        self.hidden = nn.Sequential(nn.Linear(features, hidden), nn.ReLU())
        self.position = nn.Linear(hidden, 3)
        self.rotation = nn.Linear(hidden, HEADS[head])
        self.log_std = nn.Linear(hidden, 2 + hinges)
        self.angles = nn.Linear(hidden, 2 * hinges) if hinges else None
        self.prior = PositionPrior(priors)
        with torch.no_grad():
            self.log_std.weight *= 0.1
            spread = [math.log(priors.unit), *[ROTATION_LOG_STD] * (1 + hinges)]
            self.log_std.bias.copy_(torch.tensor(spread))

    def forward(self, features: Tensor) -> PoseOutput:
        """Estimates from features (B, F)."""
        hidden = self.hidden(features)
        raw = self.rotation(hidden).float()
        output = PoseOutput(
            position=self.position(hidden).float() * self.prior.scale + self.prior.centre,
            rotation=rotation_from_raw(raw),
            log_std=self.log_std(hidden).float().clamp(-8.0, 2.0),
            raw=raw,
        )
        if self.angles is not None:
            raw_angles = self.angles(hidden).float().unflatten(-1, (-1, 2))
            # As for the rotation, the loss is on the raw numbers.
            cos, sin = raw_angles.detach().unbind(dim=-1)
            output.angles, output.raw_angles = torch.atan2(sin, cos), raw_angles
        return output
