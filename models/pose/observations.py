"""Image points through calibrated cameras, in operations that ONNX has.

Projection, correction for the jitter of cameras, triangulation and rigid alignment. Image points
are normalised: 0 to 1 across the image; weights are their inverse variances.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from opendactyl.geometry.torch_ops.rotation import orthogonalize
from opendactyl.models.pose.linalg import invert_3x3

SCALE_STD, SHIFT_STD = 0.03, 0.04
"""Prior of the similarity by which camera jitter moves an image: standard deviations of its scale
and roll (relative, radians) and of its shift (image widths). Wide enough for preset `wide`."""


class Jitter(NamedTuple):
    """The similarities by which jitter moved the images: p + (p - 0.5) a + t is the nominal point.

    Complex numbers (B, V, 2); p is an observed point, 0 to 1 across the image.
    """

    turn: Tensor
    """Scale and roll a."""
    shift: Tensor
    """Shift t."""

    def undone(self, image_points: Tensor) -> Tensor:
        """Observed image points (B, V, K, 2), corrected to the nominal cameras."""
        centred = image_points - 0.5
        moved = _complex_product(centred, self.turn[..., None, :])
        return image_points + moved + self.shift[..., None, :]

    def applied(self, image_points: Tensor) -> Tensor:
        """The inverse of `undone`: where points of the nominal cameras are observed."""
        factor = self.turn + torch.tensor([1.0, 0.0], device=self.turn.device)
        square = factor.square().sum(dim=-1, keepdim=True)[..., None, :]
        centred = image_points - 0.5 - self.shift[..., None, :]
        return 0.5 + _complex_product(factor[..., None, :], centred, conjugate=True) / square


@dataclass
class Observations:
    """Image points and the cameras they were observed by: B samples, V views, K keypoints."""

    image_points: Tensor
    """Normalised image points (B, V, K, 2), corrected to the nominal cameras."""
    weight: Tensor
    """Inverse variances (B, V, K) of the image points."""
    points: Tensor
    """Keypoints of the object (K, 3), in metres, object frame; of parts, at angle zero."""
    cameras: Tensor
    """Projection matrices (V, 3, 4) of the nominal cameras, from hand frame to image points."""
    jitter: Jitter | None = None
    """What `image_points` were corrected for; None without anchors."""


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
    jitter = anchors_jitter(keypoints[:, :, count:], weight[:, :, count:], anchors, cameras)
    corrected = jitter.undone(keypoints[:, :, :count])
    return Observations(corrected, weight[:, :, :count], points, cameras, jitter)


def anchors_jitter(observed: Tensor, weight: Tensor, anchors: Tensor, cameras: Tensor) -> Jitter:
    """The jitter that anchors show; those outside the image of a nominal camera are ignored.

    Args:
        observed: their image points (B, V, M, 2).
        weight: inverse variances (B, V, M) of these.
        anchors: points (M, 3) fixed in the hand frame.
        cameras: projection matrices (V, 3, 4) of the nominal cameras.
    """
    (nominal,), _ = project(anchors[None], cameras)
    inside = ((nominal > 0) & (nominal < 1)).all(dim=-1)
    return estimate_jitter(observed, nominal, weight * inside)


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


def estimate_jitter(observed: Tensor, nominal: Tensor, weight: Tensor) -> Jitter:
    """The displacement of a camera, from points that never move.

    A camera displaced by a little translation, roll or zoom moves its image by nearly a
    similarity. The one that maps the observed anchors to their nominal image points, with a
    Gaussian prior around the identity, has a closed form in complex numbers p = a + t: minimise
    sum w |o a + t - d|² + priors.

    Args:
        observed: image points of the anchors (B, V, M, 2).
        nominal: their image points through the nominal cameras (V, M, 2).
        weight: inverse variances (B, V, M) of `observed`.
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
    return Jitter(a, t)


def _complex_product(a: Tensor, b: Tensor, *, conjugate: bool = False) -> Tensor:
    """The product of complex numbers (..., 2), of the first's conjugate if `conjugate`."""
    ar, ai = a[..., 0], -a[..., 1] if conjugate else a[..., 1]
    br, bi = b[..., 0], b[..., 1]
    return torch.stack([ar * br - ai * bi, ar * bi + ai * br], dim=-1)


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
