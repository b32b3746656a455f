"""What training minimises, with every weight."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from opendactyl.geometry.torch_rotation import geodesic_angle, quat_to_matrix
from opendactyl.models.pose.outputs import PoseOutput

POSITION_SCALE = 0.01
"""Position errors count in units of a centimetre."""
REFINED_WEIGHT = 1.0
SOFT_POSITION, SOFT_CHORD = 0.0002, 0.005
"""Below these, in metres and as a Frobenius distance, refined errors count by their square."""
PLACE_WEIGHT = 20.0
PLACE_BETA = 0.01
"""Below this share of the image, errors of places count by their square."""
LIKELIHOOD_WEIGHT = 0.05
SURE = 100.0
"""Squared deviations (chi-squared) above which a likelihood counts them by their logarithm."""
NEAR_VIEW = (-1.0, 2.0)
"""Places of anchors are taken to lie so far outside a view at most."""
LEAST_VISIBLE = 0.1
"""The object's places in a view count by the share of it that can be seen, at least by this."""


def pose_loss(output: PoseOutput, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """The loss and its parts, each a mean over the batch.

    What a head gave: Huber on the position in centimetres, squared Frobenius distance of the
    rotation matrices, which treats q and -q as one; nine raw numbers are compared as they are.
    What was refined from it: distances, since mean errors are what is reported. Places: Huber.
    Uncertainties: Gaussian likelihood of the errors as they are, without pulling on the estimates
    that it judges.
    """
    truth = quat_to_matrix(batch["quaternion"])
    parts: dict[str, Tensor] = {}
    head = output.first or output
    if head.raw is not None:
        rotation = head.raw if head.raw.shape[-1] == 9 else head.rotation.flatten(1)
        parts |= {
            "position": functional.huber_loss(
                head.position / POSITION_SCALE, batch["position"] / POSITION_SCALE
            ),
            "rotation": functional.mse_loss(rotation, truth.flatten(1)) * 9,
            "likelihood": pose_likelihood(head, batch, truth) * LIKELIHOOD_WEIGHT,
        }
    if output.raw is None:
        position, rotation = _distances(output, batch, truth)
        parts["refined_position"] = position * REFINED_WEIGHT
        parts["refined_rotation"] = rotation * REFINED_WEIGHT
        parts["refined_likelihood"] = pose_likelihood(output, batch, truth) * LIKELIHOOD_WEIGHT
    if output.places is not None and output.places_log_std is not None:
        error, likelihood = _place_losses(output.places, output.places_log_std, batch)
        parts["places"] = error * PLACE_WEIGHT
        parts["places_likelihood"] = likelihood * LIKELIHOOD_WEIGHT
    return parts | {"total": torch.stack(list(parts.values())).sum()}


def _distances(
    output: PoseOutput, batch: dict[str, Tensor], truth: Tensor
) -> tuple[Tensor, Tensor]:
    square = (output.position - batch["position"]).square().sum(dim=-1)
    position = torch.sqrt(square + SOFT_POSITION**2) / POSITION_SCALE
    square = (output.rotation - truth).square().sum(dim=(-2, -1))
    return position.mean(), torch.sqrt(square + SOFT_CHORD**2).mean()


def _place_losses(
    places: Tensor, log_std: Tensor, batch: dict[str, Tensor]
) -> tuple[Tensor, Tensor]:
    """Mean errors of the places, and the likelihood of these errors.

    An anchor outside the picture cannot be pointed at: there, only its deviation is to be learned.
    """
    landmarks, anchors = batch["landmarks"], batch["anchors"]
    truth = torch.cat([landmarks, anchors.clamp(*NEAR_VIEW)], dim=2)
    visible = batch["visible_fraction"].clamp_min(LEAST_VISIBLE)[..., None]
    inside = ((anchors > 0) & (anchors < 1)).all(dim=-1)
    weight = torch.cat([visible.expand(-1, -1, landmarks.shape[2]), inside], dim=2)
    error = functional.smooth_l1_loss(places, truth, reduction="none", beta=PLACE_BETA)
    square = (places - truth).detach().square().sum(dim=-1)
    nll = 2 * log_std + 0.5 * _tamed(square * torch.exp(-2 * log_std))
    return (error.mean(dim=-1) * weight).mean(), nll.mean()


def pose_likelihood(output: PoseOutput, batch: dict[str, Tensor], truth: Tensor) -> Tensor:
    """Negative log-likelihood of the errors under Gaussians, which are taken as they are."""
    with torch.no_grad():
        squares = torch.stack(
            [
                (output.position - batch["position"]).square().sum(dim=-1),
                geodesic_angle(output.rotation, truth).square(),
            ],
            dim=-1,
        )
    # Three dimensions each: 3 log(sigma) + |e|² / (2 sigma²).
    nll = 3 * output.log_std + 0.5 * _tamed(squares * torch.exp(-2 * output.log_std))
    return nll.mean()


def _tamed(square: Tensor) -> Tensor:
    """Squared deviations, growing as their logarithm only where an estimate is far too sure.

    Early in training they would drown everything else; the slope stays, so that it learns better.
    """
    far = SURE * (1 + torch.log(square.clamp_min(SURE) / SURE))
    return torch.where(square < SURE, square, far)


class FocalBalance(nn.Module):
    """Weighs position and rotation by how far each is from good enough (D19 C.3).

    With p the share of samples under the target error, a task's weight is -(1 - p) log p (focal
    loss with gamma 1); here both are scaled to a mean of one, and p is a moving average.
    """

    TARGET_DEG, TARGET_MM = 3.0, 3.0
    MEMORY = 0.99
    share: Tensor

    def __init__(self) -> None:
        """Starts with both tasks equally far."""
        super().__init__()
        self.register_buffer("share", torch.full((2,), 0.1))

    @torch.no_grad()
    def weights(self, angle: Tensor, millimetres: Tensor) -> Tensor:
        """Takes a batch's errors (B,) into account; weights (2,) of position and rotation."""
        good = torch.stack(
            [
                (millimetres < self.TARGET_MM).float().mean(),
                (angle < self.TARGET_DEG).float().mean(),
            ]
        )
        self.share.lerp_(good.to(self.share), 1 - self.MEMORY)
        p = self.share.clamp(0.001, 0.999)
        weights = -(1 - p) * torch.log(p)
        return 2 * weights / weights.sum()

    def forward(
        self, losses: dict[str, Tensor], angle: Tensor, millimetres: Tensor
    ) -> dict[str, Tensor]:
        """The losses with position and rotation reweighted, and their new total."""
        position, rotation = self.weights(angle, millimetres)
        factors = {"position": position, "rotation": rotation}
        parts = {
            name: value * factors.get(name.removeprefix("refined_"), 1.0)
            for name, value in losses.items()
            if name != "total"
        }
        return parts | {"total": torch.stack(list(parts.values())).sum()}
