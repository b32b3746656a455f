"""Gauss-Newton on image points through calibrated cameras, in operations that ONNX has.

Image points are normalised: 0 to 1 across the image; weights are their inverse variances.
Everything is differentiable, so that a network learns the weights.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from opendactyl.geometry.torch_rotation import skew, unskew
from opendactyl.models.pose.linalg import cayley_rotation, invert_6x6

SCALE_STD, SHIFT_STD = 0.03, 0.04
"""Prior of the similarity by which camera jitter moves an image: standard deviations of its scale
and roll (relative, radians) and of its shift (image widths). Wide enough for preset `wide`."""
UNIT = 0.03
"""Unit of position inside the solver, in metres, which makes it commensurate with radians."""
OUTLIER = 9.0
"""Squared normalised residual at which Cauchy's weight function halves a weight."""
INDEPENDENT = 1e-3
"""Fraction of independent noise in an exported covariance: bounds correlations away from one, so
that the matrix stays positive definite in single precision."""


@dataclass
class Observations:
    """Image points and the cameras they were observed by: B samples, V views, K keypoints."""

    image_points: Tensor
    """Normalised image points (B, V, K, 2), corrected to the nominal cameras."""
    weight: Tensor
    """Inverse variances (B, V, K) of the image points."""
    points: Tensor
    """Keypoints of the object (K, 3), in metres, object frame."""
    cameras: Tensor
    """Projection matrices (V, 3, 4) of the nominal cameras, from hand frame to image points."""


def stabilize(
    keypoints: Tensor,
    log_std: Tensor,
    points: Tensor,
    anchors: Tensor,
    cameras: Tensor,
) -> Observations:
    """Observations of the object's keypoints, corrected for camera jitter by the anchors.

    Anchors outside the image of a nominal camera are ignored. Without anchors nothing is corrected.

    Args:
        keypoints: image points of the object's keypoints, then of the anchors (B, V, K + M, 2).
        log_std: their log standard deviations (B, V, K + M).
        points: keypoints of the object (K, 3), in metres, object frame.
        anchors: points (M, 3) fixed in the hand frame.
        cameras: projection matrices (V, 3, 4) of the nominal cameras.
    """
    count, weight = len(points), torch.exp(-2 * log_std)
    if not len(anchors):
        return Observations(keypoints, weight, points, cameras)
    (nominal,), _ = project(anchors[None], cameras)
    inside = ((nominal > 0) & (nominal < 1)).all(dim=-1)
    corrected = undo_jitter(
        keypoints[:, :, count:], nominal, weight[:, :, count:] * inside, keypoints[:, :, :count]
    )
    return Observations(corrected, weight[:, :, :count], points, cameras)


def split_covariance(covariance: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """Splits a covariance into scalars for position and rotation, and the rest.

    No gradient passes to the weights of the image points, which are trained by their own
    likelihood.

    Args:
        covariance: that of position, then rotation (B, 6, 6).
        shift: learned addition (B, 2) or (2,) to the log standard deviations.

    Returns:
        Log standard deviations (B, 2), and the covariance (B, 6, 6) relative to them: symmetric
        positive definite, with a mean variance of one in position and in rotation.
    """
    covariance = covariance.detach()
    variances = covariance.diagonal(dim1=-2, dim2=-1)
    mean = variances.unflatten(-1, (2, 3)).mean(dim=-1)
    scale = torch.rsqrt(mean).repeat_interleave(3, dim=-1)
    relative = (1 - INDEPENDENT) / 2 * (covariance + covariance.mT)
    relative = relative + INDEPENDENT * torch.diag_embed(variances)
    log_std = (0.5 * torch.log(mean) + shift).clamp(-9.0, 2.0)
    return log_std, relative * (scale[:, :, None] * scale[:, None, :])


def projection_matrices(intrinsics: Tensor, cam_from_hand: Tensor, size: int) -> Tensor:
    """Matrices (V, 3, 4) that project points of the hand frame to normalised image points.

    Args:
        intrinsics: K (V, 3, 3) for pixels of `size`² images.
        cam_from_hand: extrinsics (V, 4, 4).
        size: width and height of the images.
    """
    scale = torch.tensor([size, size, 1.0], device=intrinsics.device)
    return intrinsics / scale[:, None] @ cam_from_hand[:, :3]


def project(points: Tensor, cameras: Tensor) -> tuple[Tensor, Tensor]:
    """Projects points of the hand frame (B, K, 3) by projection matrices (V, 3, 4).

    Returns:
        Normalised image points (B, V, K, 2), and their derivatives (B, V, K, 2, 3) with respect
        to the points.
    """
    matrix = cameras[..., :3]
    products = (points @ matrix.flatten(0, 1).T).unflatten(-1, (-1, 3))
    homogeneous = products.transpose(1, 2) + cameras[:, None, :, 3]  # (B, V, K, 3)
    depth = homogeneous[..., 2:].clamp_min(1e-3)
    image_points = homogeneous[..., :2] / depth
    rows, last = matrix[:, None, :2], matrix[:, None, 2:]
    return image_points, (rows - image_points[..., None] * last) / depth[..., None]


def undo_jitter(observed: Tensor, nominal: Tensor, weight: Tensor, image_points: Tensor) -> Tensor:
    """Corrects image points for the displacement of a camera, by points that never move.

    A camera displaced by a little translation, roll or zoom moves its image by nearly a
    similarity. The one that maps the observed anchors to their nominal image points, with a
    Gaussian prior around the identity, has a closed form in complex numbers p = a + t: minimise
    sum w |o a + t - d|² + priors.

    Args:
        observed: image points of the anchors (B, V, M, 2).
        nominal: their image points through the nominal cameras (V, M, 2).
        weight: inverse variances (B, V, M) of `observed`.
        image_points: the image points to correct (B, V, K, 2).
    """
    o, d = observed - 0.5, nominal - observed
    w = weight[..., None]
    s0 = weight.sum(dim=-1, keepdim=True) + 1 / SHIFT_STD**2
    s1 = (w * o).sum(dim=-2)
    s2 = (w * o * o).sum(dim=(-2, -1))[..., None] + 1 / SCALE_STD**2
    sum_d = (w * d).sum(dim=-2)
    sum_od = (w * _complex_product(o, d, conjugate=True)).sum(dim=-2)
    determinant = s0 * s2 - (s1 * s1).sum(dim=-1, keepdim=True)
    a = (s0 * sum_od - _complex_product(s1, sum_d, conjugate=True)) / determinant
    t = (s2 * sum_d - _complex_product(s1, sum_od)) / determinant
    centred = image_points - 0.5
    return image_points + _complex_product(centred, a[..., None, :]) + t[..., None, :]


def _complex_product(a: Tensor, b: Tensor, *, conjugate: bool = False) -> Tensor:
    """The product of complex numbers (..., 2), of the first's conjugate if `conjugate`."""
    ar, ai = a[..., 0], -a[..., 1] if conjugate else a[..., 1]
    br, bi = b[..., 0], b[..., 1]
    return torch.stack([ar * br - ai * bi, ar * bi + ai * br], dim=-1)


def refine(
    position: Tensor,
    rotation: Tensor,
    precision: Tensor,
    observations: Observations,
    steps: int = 3,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gauss-Newton on the image points, with the initial estimate as a Gaussian prior.

    Args:
        position: initial estimate (B, 3) in metres.
        rotation: initial estimate (B, 3, 3).
        precision: its inverse variances (B, 2): position (m), rotation (rad), per axis.
        observations: image points and cameras.
        steps: number of iterations.

    Returns:
        Position (B, 3), rotation (B, 3, 3), and the inverse (B, 6, 6) of the information matrix:
        the covariance of position (m) and rotation vector (rad), hand frame, if residuals are
        independent with the given variances.
    """
    initial_position, initial_rotation = position, rotation
    scale = torch.tensor([UNIT] * 3 + [1.0] * 3, device=position.device)
    inverse = identity = torch.eye(6, device=position.device)
    prior = precision.repeat_interleave(3, dim=-1) * scale**2
    for _ in range(steps):
        equations, weight = _linearize(position, rotation, observations)
        normal = torch.bmm((equations[..., :6] * weight).mT, equations)  # (B, 6, 7)
        to_prior = torch.cat(
            [(initial_position - position) / UNIT, unskew(initial_rotation @ rotation.mT)], dim=-1
        )
        inverse = invert_6x6(normal[..., :6] + prior[:, None] * identity)
        step = torch.bmm(inverse, (normal[..., 6] + prior * to_prior)[..., None])[..., 0]
        position = position + step[:, :3] * UNIT
        rotation = cayley_rotation(step[:, 3:]) @ rotation
    return position, rotation, inverse * scale[:, None] * scale


def _linearize(
    position: Tensor, rotation: Tensor, observations: Observations
) -> tuple[Tensor, Tensor]:
    """Jacobians beside errors (B, V*K*2, 7), and robust weights (B, V*K*2, 1)."""
    arms = (rotation @ observations.points.T).mT  # (B, K, 3)
    projected, by_point = project(arms + position[:, None], observations.cameras)
    error = observations.image_points - projected
    # A rotation w moves a point by w x arm; row j changes by j . (w x arm) = -(j skew(arm)) . w.
    by_rotation = by_point @ skew(-arms)[:, None]
    equations = torch.cat([by_point * UNIT, by_rotation, error[..., None]], dim=-1)
    squares = (error * error).sum(dim=-1, keepdim=True) * observations.weight[..., None]
    weight = observations.weight[..., None] / (1 + squares / OUTLIER)
    return equations.flatten(1, 3), weight.expand_as(error).flatten(1)[..., None]
