"""What training minimises, with every weight."""

import torch
from torch import Tensor
from torch.nn import functional

from opendactyl.geometry.rotation_torch import geodesic_angle, quat_to_matrix
from opendactyl.models.pose import PoseOutput

POSITION_SCALE = 0.01
"""Position errors count in units of a centimetre."""
ROTATION_WEIGHT = 1.0
LANDMARK_WEIGHT = 20.0
LANDMARK_BETA = 0.01
"""Below this share of the image, landmark errors count by their square."""
LIKELIHOOD_WEIGHT = 0.05


def pose_loss(output: PoseOutput, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """The loss and its parts, each a mean over the batch.

    Position: Huber in centimetres. Rotation: squared Frobenius distance of the matrices, which
    treats q and -q as one; a raw 9D head is compared before it is orthogonalised as well, so that
    its gradient is well behaved from the start. Landmarks: Huber, with occluded views counting by
    the share that can be seen. Uncertainty: Gaussian likelihood of the errors as they are, without
    pulling on the pose.
    """
    truth = quat_to_matrix(batch["quaternion"])
    position = functional.huber_loss(
        output.position / POSITION_SCALE, batch["position"] / POSITION_SCALE
    )
    if output.rotation_raw.shape[-1] == 9:
        rotation = functional.mse_loss(output.rotation_raw, truth.flatten(1)) * 9
    else:
        rotation = functional.mse_loss(output.rotation, truth) * 9
    parts = {
        "position": position,
        "rotation": rotation * ROTATION_WEIGHT,
        "likelihood": likelihood_loss(output, batch, truth) * LIKELIHOOD_WEIGHT,
    }
    if output.landmarks is not None:
        error = functional.smooth_l1_loss(
            output.landmarks, batch["landmarks"], reduction="none", beta=LANDMARK_BETA
        ).mean(dim=(2, 3))
        weight = batch["visible_fraction"].clamp_min(0.1)
        parts["landmarks"] = (error * weight).mean() * LANDMARK_WEIGHT
    return parts | {"total": torch.stack(list(parts.values())).sum()}


def likelihood_loss(output: PoseOutput, batch: dict[str, Tensor], truth: Tensor) -> Tensor:
    """Negative log-likelihood of the errors under Gaussians; moves the deviations alone."""
    with torch.no_grad():
        squares = torch.stack(
            [
                (output.position - batch["position"]).square().sum(dim=-1),
                geodesic_angle(output.rotation, truth).square(),
            ],
            dim=-1,
        )
    # Three dimensions each: 3 log(sigma) + |e|² / (2 sigma²).
    nll = 3 * output.log_std + 0.5 * squares * torch.exp(-2 * output.log_std)
    return nll.clamp_max(50.0).mean()
