"""True orientations of symmetric objects: the equivalent that is nearest to the estimate."""

import torch
from torch import Tensor

from opendactyl.geometry.torch_rotation import matrix_to_quat, quat_to_matrix


@torch.no_grad()
def nearest_equivalent(
    truth: Tensor, estimate: Tensor, rotations: Tensor, axis: Tensor | None
) -> Tensor:
    """As `SymmetryGroup.equivalent`, for tensors.

    Args:
        truth: true orientations (B, 4).
        estimate: estimated rotation matrices (B, 3, 3).
        rotations: discrete rotations of the group (S, 4).
        axis: unit vector (3,) of the axis of revolution, or None.
    """
    images = quat_to_matrix(truth)[:, None] @ quat_to_matrix(rotations)
    estimate = estimate.to(images)[:, None]
    if axis is not None:
        images = images @ _best_spin(images.mT @ estimate, axis)
    agreement = (images * estimate).sum(dim=(-2, -1))  # the trace, which grows with cos(angle)
    chosen = images[torch.arange(len(images), device=images.device), agreement.argmax(dim=1)]
    return matrix_to_quat(chosen)


def _best_spin(relative: Tensor, axis: Tensor) -> Tensor:
    """The rotations (..., 3, 3) about an axis that are nearest to `relative` (..., 3, 3)."""
    x, y, z = axis
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero]).reshape(3, 3)
    along = torch.outer(axis, axis)
    across = torch.eye(3, dtype=axis.dtype, device=axis.device) - along
    cosine = (relative * across).sum(dim=(-2, -1))
    sine = (relative * cross).sum(dim=(-2, -1))
    angle = torch.atan2(sine, cosine)[..., None, None]
    return along + torch.cos(angle) * across + torch.sin(angle) * cross
