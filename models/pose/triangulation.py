"""Triangulation of image points and rigid alignment, in operations that ONNX has."""

import torch
from torch import Tensor

from opendactyl.geometry.torch_rotation import orthogonalize
from opendactyl.models.pose.linalg import invert_3x3
from opendactyl.models.pose.refinement import Observations


def triangulate(observations: Observations, centre: Tensor, reach: Tensor) -> tuple[Tensor, Tensor]:
    """Triangulates image points, with a weak Gaussian prior around a centre.

    The equations of the linear method are divided by the centre's depth, so that residuals are
    image errors to first order.

    Args:
        observations: image points and cameras.
        centre: approximate position of the object (3,), hand frame.
        reach: standard deviation () of the prior, in metres, per axis.

    Returns:
        Points (B, K, 3) in metres, hand frame, and their inverse variances (B, K).
    """
    matrix = observations.cameras
    depth = (matrix[:, 2, :3] @ centre + matrix[:, 2, 3])[:, None, None]
    rows = observations.image_points[..., None] * matrix[:, None, None, 2] - matrix[:, None, :2]
    rows = rows / depth[..., None]  # (B, V, K, 2, 4)
    jacobian, residual = rows[..., :3], rows[..., 3] + rows[..., :3] @ centre
    weighted = jacobian * observations.weight[..., None, None]
    information = torch.einsum("bvkij,bvkil->bkjl", weighted, jacobian)
    information = information + torch.eye(3, device=centre.device) * reach.pow(-2)
    gradient = torch.einsum("bvkij,bvki->bkj", weighted, residual)
    covariance = invert_3x3(information)
    points = centre - (covariance @ gradient[..., None])[..., 0]
    return points, 1 / covariance.diagonal(dim1=-2, dim2=-1).sum(dim=-1)


def align(points: Tensor, targets: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """The rigid motion that minimises weighted squared distances (Kabsch 1976).

    Args:
        points: points of the object (K, 3).
        targets: where they should come to lie (B, K, 3).
        weight: weights (B, K).

    Returns:
        Positions (B, 3) and rotations (B, 3, 3).
    """
    weight = (weight / weight.sum(dim=-1, keepdim=True))[..., None]
    mean, target_mean = (weight * points).sum(dim=1), (weight * targets).sum(dim=1)
    cross = torch.einsum(
        "bki,bkj->bij", weight * (targets - target_mean[:, None]), points - mean[:, None]
    )
    rotation = orthogonalize(cross.flatten(1))
    return target_mean - (rotation @ mean[..., None])[..., 0], rotation
