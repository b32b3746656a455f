"""The pose that landmarks seen by calibrated cameras speak for, in operations that ONNX has.

Places in an image run from 0 to 1 across it; weights are inverse variances of places. Everything
is differentiable, so that a network learns which landmarks to trust.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from opendactyl.geometry.torch_rotation import orthogonalize
from opendactyl.models.pose.linalg import invert_3x3, invert_6x6, turn_matrix

SCALE_STD, SHIFT_STD = 0.03, 0.04
"""How far an image may be scaled or rolled, and shifted, by a camera that is not where the rig says
it is: standard deviations, as a share and in image widths. Wide enough for preset `wide`."""
UNIT = 0.03
"""Position is solved for in units of this many metres, so that it compares with radians."""
CENTRE_STD = 0.1
"""How far from the centre a landmark is expected before any ray is cast, in metres, per axis."""
OUTLIER = 9.0
"""Squared deviations (chi-squared) beyond which a landmark loses its say (Cauchy's weights)."""


@dataclass
class Evidence:
    """What is known before and beside the pose: B samples, V views, K landmarks."""

    places: Tensor
    """Where the landmarks are seen (B, V, K, 2), as nominal cameras would see them."""
    weight: Tensor
    """Their inverse variances (B, V, K)."""
    points: Tensor
    """The landmarks on the object (K, 3), in metres, object frame."""
    intrinsics: Tensor
    """Nominal K for places (V, 3, 3)."""
    cam_from_hand: Tensor
    """Nominal extrinsics (V, 4, 4)."""


def gather(
    places: Tensor,
    log_std: Tensor,
    points: Tensor,
    anchors: Tensor,
    cameras: tuple[Tensor, Tensor],
) -> Evidence:
    """What places say of the object once the anchors among them have told how the cameras moved.

    Anchors that a nominal camera does not have in its picture tell nothing.

    Args:
        places: of the object's points, then of the anchors (B, V, K + M, 2).
        log_std: logarithms of their deviations (B, V, K + M).
        points: on the object (K, 3), in metres, object frame.
        anchors: points (M, 3) that never move in the hand frame.
        cameras: nominal intrinsics for places (V, 3, 3) and extrinsics (V, 4, 4).
    """
    count, weight = len(points), torch.exp(-2 * log_std)
    (nominal,), _ = project(anchors[None], *cameras)
    told = weight[:, :, count:] * ((nominal > 0) & (nominal < 1)).all(dim=-1)
    steady = undo_jitter(places[:, :, count:], nominal, told, places[:, :, :count])
    return Evidence(steady, weight[:, :, :count], points, *cameras)


def deviations(covariance: Tensor, shift: Tensor) -> Tensor:
    """Logarithms (B, 2) of the deviations of position and rotation, from a covariance (B, 6, 6).

    What the weights of places imply is raised by a learned `shift`; no gradient reaches the
    weights through it, which the places' own likelihood teaches.
    """
    variance = covariance.diagonal(dim1=-2, dim2=-1).unflatten(-1, (2, 3)).mean(dim=-1)
    return (0.5 * torch.log(variance.detach()) + shift).clamp(-9.0, 2.0)


def place_intrinsics(intrinsics: Tensor, size: int) -> Tensor:
    """Intrinsics (V, 3, 3) in pixels of square images of `size`, for places from 0 to 1."""
    scale = torch.tensor([size, size, 1.0], device=intrinsics.device)
    return intrinsics / scale[:, None]


def project(points: Tensor, intrinsics: Tensor, cam_from_hand: Tensor) -> tuple[Tensor, Tensor]:
    """Places (B, V, K, 2) of hand-frame points (B, K, 3), and their derivatives.

    Returns:
        The places, and their derivatives (B, V, K, 2, 3) by the points.
    """
    rotation, offset = cam_from_hand[:, :3, :3], cam_from_hand[:, :3, 3]
    matrix = intrinsics @ rotation  # (V, 3, 3)
    offset = (intrinsics @ offset[..., None])[..., 0]  # (V, 3)
    homogeneous = torch.einsum("vij,bkj->bvki", matrix, points) + offset[:, None]
    depth = homogeneous[..., 2:].clamp_min(1e-3)
    places = homogeneous[..., :2] / depth
    rows, last = matrix[:, None, :2], matrix[:, None, 2:]
    return places, (rows - places[..., None] * last) / depth[..., None]


def undo_jitter(seen: Tensor, nominal: Tensor, weight: Tensor, places: Tensor) -> Tensor:
    """Where nominal cameras would see `places`, judged by anchors that never move.

    A camera that stands a little off, rolls or zooms moves its image by nearly a similarity. The
    one that takes the anchors to their nominal places, with a Gaussian prior around none, is
    found in closed form, in complex numbers p = a + t: minimise sum w |o a + t - d|² + priors.

    Args:
        seen: places of the anchors (B, V, M, 2).
        nominal: their places through the nominal cameras (V, M, 2).
        weight: inverse variances (B, V, M) of the anchors' places.
        places: what to correct (B, V, K, 2).
    """
    o, d = seen - 0.5, nominal - seen
    w = weight[..., None]
    s0 = weight.sum(dim=-1, keepdim=True) + 1 / SHIFT_STD**2
    s1 = (w * o).sum(dim=-2)
    s2 = (w * o * o).sum(dim=(-2, -1))[..., None] + 1 / SCALE_STD**2
    shift_sum = (w * d).sum(dim=-2)
    turn_sum = (w * _times(o, d, conjugate=True)).sum(dim=-2)
    determinant = s0 * s2 - (s1 * s1).sum(dim=-1, keepdim=True)
    turn = (s0 * turn_sum - _times(s1, shift_sum, conjugate=True)) / determinant
    shift = (s2 * shift_sum - _times(s1, turn_sum)) / determinant
    return places + _times(places - 0.5, turn[..., None, :]) + shift[..., None, :]


def _times(a: Tensor, b: Tensor, *, conjugate: bool = False) -> Tensor:
    """The product of complex numbers (..., 2); of the first's conjugate if asked for."""
    ar, ai = a[..., 0], -a[..., 1] if conjugate else a[..., 1]
    br, bi = b[..., 0], b[..., 1]
    return torch.stack([ar * br - ai * bi, ar * bi + ai * br], dim=-1)


def triangulate(evidence: Evidence, centre: Tensor) -> tuple[Tensor, Tensor]:
    """Where the rays to each landmark meet, with a weak prior around a centre.

    The equations are those of the linear method, divided by the centre's depth, so that residuals
    are places' errors to first order.

    Args:
        evidence: what the cameras see.
        centre: a point (3,) of the hand frame that the object is near to.

    Returns:
        Points (B, K, 3) in metres, and their certainties (B, K), one over the variance.
    """
    matrix = evidence.intrinsics @ evidence.cam_from_hand[:, :3]  # (V, 3, 4)
    depth = (matrix[:, 2, :3] @ centre + matrix[:, 2, 3])[:, None, None]
    rows = (evidence.places[..., None] * matrix[:, None, None, 2] - matrix[:, None, :2]) / depth[
        ..., None
    ]  # (B, V, K, 2, 4)
    slopes, offset = rows[..., :3], rows[..., 3] + rows[..., :3] @ centre
    weighted = slopes * evidence.weight[..., None, None]
    information = torch.einsum("bvkij,bvkil->bkjl", weighted, slopes)
    information = information + torch.eye(3, device=centre.device) / CENTRE_STD**2
    back = torch.einsum("bvkij,bvki->bkj", weighted, offset)
    covariance = invert_3x3(information)
    points = centre - (covariance @ back[..., None])[..., 0]
    return points, 1 / covariance.diagonal(dim1=-2, dim2=-1).sum(dim=-1)


def align(points: Tensor, met: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """The rigid motion that takes points nearest to others, weighted (Kabsch 1976).

    Args:
        points: points of the object (K, 3).
        met: where they were found (B, K, 3).
        weight: how much each counts (B, K).

    Returns:
        Positions (B, 3) and rotations (B, 3, 3).
    """
    share = (weight / weight.sum(dim=-1, keepdim=True))[..., None]
    middle, met_middle = (share * points).sum(dim=1), (share * met).sum(dim=1)
    spread = torch.einsum(
        "bki,bkj->bij", share * (met - met_middle[:, None]), points - middle[:, None]
    )
    rotation = orthogonalize(spread.flatten(1))
    return met_middle - (rotation @ middle[..., None])[..., 0], rotation


def refine(
    position: Tensor,
    rotation: Tensor,
    precision: Tensor,
    evidence: Evidence,
    steps: int = 3,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gauss-Newton on the landmarks' places around a first estimate, which stays a prior.

    Args:
        position: first estimate (B, 3) in metres.
        rotation: first estimate (B, 3, 3).
        precision: its inverse variances (B, 2): position (m), rotation (rad), per axis.
        evidence: what the cameras see.
        steps: how often to linearise.

    Returns:
        Position (B, 3), rotation (B, 3, 3), and the covariance (B, 6, 6) that the weights imply.
    """
    first_position, first_rotation = position, rotation
    prior = torch.cat(
        [(precision[:, :1] * UNIT**2).expand(-1, 3), precision[:, 1:].expand(-1, 3)], dim=-1
    )
    inverse = torch.eye(6)
    for _ in range(steps):
        slopes, error, weight = _linearise(position, rotation, evidence)
        weighted = slopes * weight[..., None]
        information = torch.einsum("bnki,bnkj->bij", weighted, slopes) + torch.diag_embed(prior)
        back = torch.cat(
            [(first_position - position) / UNIT, _vee(first_rotation @ rotation.mT)], dim=-1
        )
        gradient = torch.einsum("bnki,bnk->bi", weighted, error) + prior * back
        inverse = invert_6x6(information)
        move = (inverse @ gradient[..., None])[..., 0]
        position = position + move[:, :3] * UNIT
        rotation = turn_matrix(move[:, 3:]) @ rotation
    scale = torch.tensor([UNIT] * 3 + [1.0] * 3, device=position.device)
    return position, rotation, inverse * scale[:, None] * scale


def _linearise(
    position: Tensor, rotation: Tensor, evidence: Evidence
) -> tuple[Tensor, Tensor, Tensor]:
    """Derivatives (B, V*K, 2, 6) of places by the pose, errors (B, V*K, 2), weights (B, V*K, 1)."""
    arms = torch.einsum("bij,kj->bki", rotation, evidence.points)  # (B, K, 3)
    places, by_point = project(
        arms + position[:, None], evidence.intrinsics, evidence.cam_from_hand
    )
    error = evidence.places - places
    # A turn w moves a point by w x arm; row j changes by j . (w x arm) = w . (arm x j).
    by_turn = torch.linalg.cross(arms[:, None, :, None].expand_as(by_point), by_point)
    slopes = torch.cat([by_point * UNIT, by_turn], dim=-1)
    surprise = (error * error).sum(dim=-1) * evidence.weight
    weight = evidence.weight / (1 + surprise / OUTLIER)
    return slopes.flatten(1, 2), error.flatten(1, 2), weight.flatten(1)[..., None]


def _vee(m: Tensor) -> Tensor:
    """The rotation vector (B, 3) of small rotations (B, 3, 3)."""
    return 0.5 * torch.stack(
        [m[:, 2, 1] - m[:, 1, 2], m[:, 0, 2] - m[:, 2, 0], m[:, 1, 0] - m[:, 0, 1]], dim=-1
    )
