"""True orientations of symmetric objects: the equivalent that is nearest to the estimate."""

import torch
from torch import Tensor

from opendactyl.geometry.symmetry import SymmetryGroup
from opendactyl.geometry.torch_ops.rotation import matrix_to_quat, quat_to_matrix
from opendactyl.models.pose.outputs import PoseOutput


class EquivalentTruth:
    """Replaces the orientations of a batch by equivalent ones.

    Keypoints stay those of the canonical orientation: labels that follow the predicted keypoints
    have a border, too, as no choice among the equivalents is continuous on all orientations.
    """

    def __init__(self, group: SymmetryGroup) -> None:
        """Takes the object's symmetry."""
        self._group = group
        self._rotations = torch.as_tensor(group.rotations)
        self._axis = None if group.axis is None else torch.as_tensor(group.axis)

    @torch.no_grad()
    def nearest(self, output: PoseOutput, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The batch with the true orientations nearest to the estimates."""
        if self._group.is_trivial:
            return batch
        truth = quat_to_matrix(batch["quaternion"])
        images = truth[:, None] @ quat_to_matrix(self._rotations.to(truth))
        estimate = output.rotation.to(images)[:, None]
        if self._axis is not None:
            images = images @ _best_spin(images.mT @ estimate, self._axis.to(truth))
        agreement = (images * estimate).sum(dim=(-2, -1))  # the trace, which grows with cos(angle)
        chosen = images[torch.arange(len(images), device=images.device), agreement.argmax(dim=1)]
        return batch | {"quaternion": matrix_to_quat(chosen)}


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
