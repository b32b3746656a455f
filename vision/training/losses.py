"""The training loss and its weights."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from opendactyl.geometry.torch_ops.rotation import geodesic_angle, quat_to_matrix
from opendactyl.models.pose.hinges import wrap_angle
from opendactyl.models.pose.outputs import CropOutput, PoseOutput
from opendactyl.models.pose.priors import FORMER

REFINED_WEIGHT = 1.0
SOFT_POSITION, SOFT_CHORD = 0.02, 0.005
"""Refined errors are quadratic below these: units of position, and a Frobenius distance."""
HINGE_WEIGHT = 2.0
"""Weight of the cosine and sine of each angle of a hinge."""
KEYPOINT_WEIGHT = 20.0
KEYPOINT_BETA = 0.01
"""Errors of image points are quadratic below this, in image widths."""
LIKELIHOOD_WEIGHT = 0.05
ROBUST_LIMIT = 100.0
"""Squared normalised error above which a likelihood grows with its logarithm."""
NEAR_VIEW = (-1.0, 2.0)
"""Image points of anchors are clamped to this range, in image widths."""
LEAST_VISIBLE = 0.1
"""Least weight of a view's keypoints, which otherwise is the object's visible fraction in it."""


def pose_loss(
    output: PoseOutput, batch: dict[str, Tensor], unit: float = FORMER.unit
) -> dict[str, Tensor]:
    """The terms of the loss, each a mean over the batch, and their sum, `total`.

    Head: Huber on the position in units of `unit`, squared Frobenius distance of the rotation
    matrices, which is equal for q and -q; for a 9D head, of its raw output. Refined pose:
    distances, since mean errors are reported. Image points: Huber. Uncertainties: Gaussian negative
    log-likelihood of the detached errors. Angles of hinges: cosine and sine of the head, distances
    on the circle of the refined ones. With two stages, those of the first one, and of the second
    one under names that begin with `close_`.

    Args:
        output: the estimates.
        batch: the labels.
        unit: unit of position errors, in metres.
    """
    truth = quat_to_matrix(batch["quaternion"])
    if output.first is not None and output.second is not None:
        terms = pose_loss(output.first, batch, unit)
        del terms["total"]
        close = _refined_terms(output, batch, truth, unit)
        terms |= {name.replace("refined", "close"): value for name, value in close.items()}
        error, likelihood = crop_losses(output.second, batch)
        terms["close_places"] = error * KEYPOINT_WEIGHT
        terms["close_places_likelihood"] = likelihood * LIKELIHOOD_WEIGHT
        return terms | {"total": torch.stack(list(terms.values())).sum()}
    terms = {}
    head = output.initial or output
    if head.raw is not None:
        rotation = head.raw if head.raw.shape[-1] == 9 else head.rotation.flatten(1)
        terms |= {
            "position": functional.huber_loss(head.position / unit, batch["position"] / unit),
            "rotation": functional.mse_loss(rotation, truth.flatten(1)) * 9,
            "likelihood": pose_likelihood(head, batch, truth) * LIKELIHOOD_WEIGHT,
        }
    if head.raw_angles is not None:
        angles = batch["hinges"]
        direction = torch.stack([torch.cos(angles), torch.sin(angles)], dim=-1)
        terms["hinges"] = functional.mse_loss(head.raw_angles, direction) * HINGE_WEIGHT
    if output.raw is None:
        terms |= _refined_terms(output, batch, truth, unit)
    if output.keypoints is not None and output.keypoints_log_std is not None:
        error, likelihood = keypoint_losses(output.keypoints, output.keypoints_log_std, batch)
        # The names are columns of `metrics.csv`.
        terms["places"] = error * KEYPOINT_WEIGHT
        terms["places_likelihood"] = likelihood * LIKELIHOOD_WEIGHT
    return terms | {"total": torch.stack(list(terms.values())).sum()}


def _refined_terms(
    output: PoseOutput, batch: dict[str, Tensor], truth: Tensor, unit: float
) -> dict[str, Tensor]:
    square = ((output.position - batch["position"]) / unit).square().sum(dim=-1)
    position = torch.sqrt(square + SOFT_POSITION**2).mean()
    square = (output.rotation - truth).square().sum(dim=(-2, -1))
    rotation = torch.sqrt(square + SOFT_CHORD**2).mean()
    terms = {
        "refined_position": position * REFINED_WEIGHT,
        "refined_rotation": rotation * REFINED_WEIGHT,
        "refined_likelihood": pose_likelihood(output, batch, truth) * LIKELIHOOD_WEIGHT,
    }
    if output.angles is not None:
        chord = 2 * torch.sin((output.angles - batch["hinges"]) / 2)
        terms["refined_hinges"] = torch.sqrt(chord.square() + SOFT_CHORD**2).mean()
    return terms


def keypoint_losses(
    keypoints: Tensor, log_std: Tensor, batch: dict[str, Tensor]
) -> tuple[Tensor, Tensor]:
    """Mean error of image points (B, V, K, 2), and the negative log-likelihood of the errors.

    Anchors outside the image train their standard deviation (B, V, K) only.
    """
    projected, anchors = batch["keypoints"], batch["anchors"]
    truth = torch.cat([projected, anchors.clamp(*NEAR_VIEW)], dim=2)
    visible = batch["visible_fraction"].clamp_min(LEAST_VISIBLE)[..., None]
    inside = ((anchors > 0) & (anchors < 1)).all(dim=-1)
    weight = torch.cat([visible.expand(-1, -1, projected.shape[2]), inside], dim=2)
    return _point_losses(keypoints, log_std, truth, weight)


def crop_losses(found: CropOutput, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Like `keypoint_losses`, for the keypoints and anchors in crops; in sides of the crops.

    Keypoints outside the crop train their standard deviation only.
    """
    visible = batch["visible_fraction"].clamp_min(LEAST_VISIBLE)[..., None]
    error, likelihood = _crop_losses(found, batch["keypoints"], visible)
    if found.anchors is None:
        return error, likelihood
    more = _crop_losses(found.anchors, batch["anchors"], torch.ones_like(visible))
    return error + more[0], likelihood + more[1]


def _crop_losses(found: CropOutput, points: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
    truth = found.crops.inside(points)
    weight = visible * ((truth > 0) & (truth < 1)).all(dim=-1)
    return _point_losses(found.keypoints, found.log_std, truth.clamp(*NEAR_VIEW), weight)


def _point_losses(
    found: Tensor, log_std: Tensor, truth: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor]:
    error = functional.smooth_l1_loss(found, truth, reduction="none", beta=KEYPOINT_BETA)
    square = (found - truth).detach().square().sum(dim=-1)
    nll = 2 * log_std + 0.5 * _robust(square * torch.exp(-2 * log_std))
    return (error.mean(dim=-1) * weight).mean(), nll.mean()


def pose_likelihood(output: PoseOutput, batch: dict[str, Tensor], truth: Tensor) -> Tensor:
    """Negative log-likelihood of the detached errors under the Gaussians of `log_std`."""
    with torch.no_grad():
        squares = torch.stack(
            [
                (output.position - batch["position"]).square().sum(dim=-1),
                geodesic_angle(output.rotation, truth).square(),
            ],
            dim=-1,
        )
        dimensions = [3.0, 3.0]
        if output.angles is not None:
            errors = wrap_angle(output.angles - batch["hinges"])
            squares = torch.cat([squares, errors.square()], dim=-1)
            dimensions += [1.0] * errors.shape[-1]
    # With d dimensions: d log(sigma) + |e|² / (2 sigma²).
    count = torch.tensor(dimensions, device=squares.device)
    nll = count * output.log_std + 0.5 * _robust(squares * torch.exp(-2 * output.log_std))
    return nll.mean()


@torch.no_grad()
def pose_errors(
    output: PoseOutput, batch: dict[str, Tensor]
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Errors in degrees and millimetres (B,), and of hinges in degrees (B, H), if there are any."""
    angle = geodesic_angle(output.rotation, quat_to_matrix(batch["quaternion"]))
    distance = torch.linalg.vector_norm(output.position - batch["position"], dim=-1)
    hinges = None
    if output.angles is not None:
        hinges = torch.rad2deg(wrap_angle(output.angles - batch["hinges"]).abs())
    return torch.rad2deg(angle), distance * 1000, hinges


def _robust(square: Tensor) -> Tensor:
    """Squared normalised errors, growing with their logarithm beyond `ROBUST_LIMIT`.

    Overconfident estimates would dominate the loss early in training.
    """
    tail = ROBUST_LIMIT * (1 + torch.log(square.clamp_min(ROBUST_LIMIT) / ROBUST_LIMIT))
    return torch.where(square < ROBUST_LIMIT, square, tail)


class FocalBalance(nn.Module):
    """Balances position and rotation by the fraction of samples below a target error (D19 C.3).

    With that fraction p, a task's weight is -(1 - p) log p, the focal loss with gamma 1. Here the
    two weights are scaled to a mean of one, and p is a moving average.
    """

    TARGET_DEG, TARGET_MM = 3.0, 3.0
    MEMORY = 0.99
    share: Tensor

    def __init__(self) -> None:
        """Starts with equal weights."""
        super().__init__()
        self.register_buffer("share", torch.full((2,), 0.1))

    @torch.no_grad()
    def weights(self, angle: Tensor, millimetres: Tensor) -> Tensor:
        """Updates p with a batch's errors (B,); returns weights (2,): position, rotation."""
        below = torch.stack(
            [
                (millimetres < self.TARGET_MM).float().mean(),
                (angle < self.TARGET_DEG).float().mean(),
            ]
        )
        self.share.lerp_(below.to(self.share), 1 - self.MEMORY)
        p = self.share.clamp(0.001, 0.999)
        weights = -(1 - p) * torch.log(p)
        return 2 * weights / weights.sum()

    def forward(
        self, losses: dict[str, Tensor], angle: Tensor, millimetres: Tensor
    ) -> dict[str, Tensor]:
        """The losses with position and rotation reweighted, and their new total."""
        position, rotation = self.weights(angle, millimetres)
        factors = {"position": position, "rotation": rotation}
        terms = {
            name: value * factors.get(name.removeprefix("refined_").removeprefix("close_"), 1.0)
            for name, value in losses.items()
            if name != "total"
        }
        return terms | {"total": torch.stack(list(terms.values())).sum()}
