"""Gauss-Newton on image points through calibrated cameras, in operations that ONNX has.

Image points are normalised: 0 to 1 across the image; weights are their inverse variances.
Everything is differentiable, so that a network learns the weights.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from opendactyl.geometry.torch_ops.rotation import skew, unskew
from opendactyl.models.pose.hinges import Hinges, wrap_angle
from opendactyl.models.pose.linalg import cayley_rotation, invert_6x6
from opendactyl.models.pose.observations import Observations, project
from opendactyl.models.pose.outputs import PoseOutput

UNIT = 0.03
"""Unit of position inside the solver, in metres, which makes it commensurate with radians."""
OUTLIER = 9.0
"""Squared normalised residual at which Cauchy's weight function halves a weight."""
INDEPENDENT = 1e-3
"""Fraction of independent noise in an exported covariance: bounds correlations away from one, so
that the matrix stays positive definite in single precision."""


class Refined(NamedTuple):
    """A refined estimate."""

    position: Tensor
    """(B, 3) in metres."""
    rotation: Tensor
    """(B, 3, 3)."""
    covariance: Tensor
    """Inverse (B, 6, 6) of the information matrix: the covariance of position (m) and rotation
    vector (rad), hand frame, if residuals are independent with the given variances."""
    angles: Tensor | None = None
    """Angles (B, H) of hinges, if there are any."""
    angle_variance: Tensor | None = None
    """Their variances (B, H), likewise."""
    information: Tensor | None = None
    """The information matrix (B, 6 + H, 6 + H), in the solver's units: a prior for more points."""

    def output(self, shift: Tensor) -> PoseOutput:
        """The output of a network; `shift` as in `split_covariance`."""
        log_std, relative = split_covariance(self.covariance, shift, self.angle_variance)
        return PoseOutput(
            position=self.position,
            rotation=self.rotation,
            log_std=log_std,
            relative_covariance=relative,
            angles=self.angles,
        )


def split_covariance(
    covariance: Tensor, shift: Tensor, angle_variance: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Splits a covariance into scalars for position and rotation, and the rest.

    No gradient passes to the weights of the image points, which are trained by their own
    likelihood.

    Args:
        covariance: that of position, then rotation (B, 6, 6).
        shift: learned addition (B, 2 + H) or (2 + H,) to the log standard deviations.
        angle_variance: variances (B, H) of the angles of hinges.

    Returns:
        Log standard deviations (B, 2 + H), and the covariance (B, 6, 6) relative to them: symmetric
        positive definite, with a mean variance of one in position and in rotation.
    """
    covariance = covariance.detach()
    variances = covariance.diagonal(dim1=-2, dim2=-1)
    mean = variances.unflatten(-1, (2, 3)).mean(dim=-1)
    scale = torch.rsqrt(mean).repeat_interleave(3, dim=-1)
    relative = (1 - INDEPENDENT) / 2 * (covariance + covariance.mT)
    relative = relative + INDEPENDENT * torch.diag_embed(variances)
    if angle_variance is not None:
        mean = torch.cat([mean, angle_variance.detach()], dim=-1)
    log_std = (0.5 * torch.log(mean) + shift).clamp(-9.0, 2.0)
    return log_std, relative * (scale[:, :, None] * scale[:, None, :])


def refine(
    position: Tensor,
    rotation: Tensor,
    precision: Tensor,
    observations: Observations,
    steps: int = 3,
    articulated: tuple[Hinges, Tensor] | None = None,
) -> Refined:
    """Gauss-Newton on the image points, with the initial estimate as a Gaussian prior.

    Args:
        position: initial estimate (B, 3) in metres.
        rotation: initial estimate (B, 3, 3).
        precision: its inverse variances (B, 2): position (m), rotation (rad), per axis; with hinges
            (B, 2 + H), those of the angles. Or `Refined.information` (B, 6 + H, 6 + H).
        observations: image points and cameras.
        steps: number of iterations.
        articulated: the hinges, and initial estimates (B, H) of their angles, if there are any.
    """
    hinges, angles = articulated or (None, None)
    start = current = _State(position, rotation, angles)
    scale = torch.tensor([UNIT] * 3 + [1.0] * 3, device=position.device)
    prior = precision
    if prior.ndim == 2:
        prior = torch.cat(
            [prior[:, :2].repeat_interleave(3, dim=-1) * scale**2, prior[:, 2:]], dim=-1
        )
        prior = prior[:, None] * torch.eye(prior.shape[-1], device=position.device)
    size = prior.shape[-1]
    information = identity = torch.eye(size, device=position.device)
    covariance, variance = identity, None
    for _ in range(steps):
        equations, weight = _linearize(current, hinges, observations)
        normal = torch.bmm((equations[..., :size] * weight).mT, equations)  # (B, 6 + H, 7 + H)
        information = normal[..., :size] + prior
        gradient = normal[..., size] + torch.bmm(prior, current.towards(start)[..., None])[..., 0]
        covariance, variance, step = _solve(information, gradient)
        current = current.moved(step)
    position, rotation, angles = current
    angles = None if angles is None else wrap_angle(angles)
    covariance = covariance * scale[:, None] * scale
    return Refined(position, rotation, covariance, angles, variance, information)


class _State(NamedTuple):
    """Position (B, 3), rotation (B, 3, 3), and angles (B, H) if there are hinges."""

    position: Tensor
    rotation: Tensor
    angles: Tensor | None

    def towards(self, other: "_State") -> Tensor:
        """The step (B, 6 + H) to another state nearby."""
        steps = [(other.position - self.position) / UNIT, unskew(other.rotation @ self.rotation.mT)]
        if self.angles is not None and other.angles is not None:
            steps.append(other.angles - self.angles)
        return torch.cat(steps, dim=-1)

    def moved(self, step: Tensor) -> "_State":
        """The state after a step (B, 6 + H)."""
        return _State(
            self.position + step[:, :3] * UNIT,
            cayley_rotation(step[:, 3:6]) @ self.rotation,
            None if self.angles is None else self.angles + step[:, 6:],
        )


def _solve(information: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
    """Solves for a step, eliminating the angles of hinges.

    No keypoint is moved by two hinges, so that the angles' block of the matrix is diagonal.

    Returns:
        The blocks of the inverse: of the pose (B, 6, 6), and the diagonal of that of the angles
        (B, H); and the step (B, 6 + H).
    """
    if information.shape[-1] == 6:
        covariance = invert_6x6(information)
        return covariance, None, torch.bmm(covariance, gradient[..., None])[..., 0]
    mixed = information[:, :6, 6:]  # (B, 6, H)
    inverse = 1 / information[:, 6:, 6:].diagonal(dim1=-2, dim2=-1)  # (B, H)
    gain = mixed * inverse[:, None]
    covariance = invert_6x6(information[:, :6, :6] - torch.bmm(gain, mixed.mT))
    reduced = gradient[:, :6, None] - torch.bmm(gain, gradient[:, 6:, None])
    pose = torch.bmm(covariance, reduced)
    angles = inverse * gradient[:, 6:] - torch.bmm(gain.mT, pose)[..., 0]
    variance = inverse + (gain * torch.bmm(covariance, gain)).sum(dim=-2)
    return covariance, variance, torch.cat([pose[..., 0], angles], dim=-1)


def _linearize(
    state: _State, hinges: Hinges | None, observations: Observations
) -> tuple[Tensor, Tensor]:
    """Jacobians beside errors (B, V*K*2, 7 + H), and robust weights (B, V*K*2, 1)."""
    points, by_angle = observations.points, None
    if hinges is not None and state.angles is not None:
        points, by_angle = hinges(points, state.angles)
    arms = (state.rotation @ points.mT).mT  # (B, K, 3)
    projected, by_point = project(arms + state.position[:, None], observations.cameras)
    error = observations.image_points - projected
    # A rotation w moves a point by w x arm; row j changes by j . (w x arm) = -(j skew(arm)) . w.
    columns = [by_point * UNIT, by_point @ skew(-arms)[:, None]]
    if by_angle is not None:
        in_hand = torch.einsum("bij,bhkj->bkih", state.rotation, by_angle)
        columns.append(by_point @ in_hand[:, None])
    equations = torch.cat([*columns, error[..., None]], dim=-1)
    squares = (error * error).sum(dim=-1, keepdim=True) * observations.weight[..., None]
    weight = observations.weight[..., None] / (1 + squares / OUTLIER)
    return equations.flatten(1, 3), weight.expand_as(error).flatten(1)[..., None]
