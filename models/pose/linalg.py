"""Rotations and inverses of small matrices, in operations that ONNX has."""

import torch
from torch import Tensor

from opendactyl.geometry.torch_ops.rotation import skew


def cayley_rotation(w: Tensor) -> Tensor:
    """Rotation matrices (B, 3, 3) of rotation vectors (B, 3), by the Cayley transform.

    It agrees with the exponential map to second order and has no division by the angle.
    """
    k = skew(w / 2)
    scale = 2 / (1 + (w * w).sum(dim=-1) / 4)
    return torch.eye(3).to(w) + scale[..., None, None] * (k + k @ k)


def invert_3x3(m: Tensor) -> Tensor:
    """Inverses of matrices (..., 3, 3), by the adjugate."""
    m = torch.cat([m, m[..., :2, :]], dim=-2)
    m = torch.cat([m, m[..., :2]], dim=-1)  # Its minors of neighbouring rows are the cofactors.
    upper, lower = m[..., 1:4, :], m[..., 2:5, :]
    cofactors = upper[..., 1:4] * lower[..., 2:5] - upper[..., 2:5] * lower[..., 1:4]
    determinant = (m[..., :1, :3] * cofactors[..., :1, :]).sum(dim=-1, keepdim=True)
    return cofactors.mT / determinant


def invert_6x6(m: Tensor) -> Tensor:
    """Inverses of symmetric positive definite matrices (B, 6, 6), by 3×3 blocks."""
    upper, lower = m[:, :3], m[:, 3:]
    a_inverse, b = invert_3x3(upper[..., :3]), upper[..., 3:]
    ab = torch.bmm(a_inverse, b)
    schur = invert_3x3(lower[..., 3:] - torch.bmm(b.mT, ab))
    corner = torch.bmm(ab, schur)
    above = torch.cat([a_inverse + torch.bmm(corner, ab.mT), -corner], dim=-1)
    return torch.cat([above, torch.cat([-corner.mT, schur], dim=-1)], dim=-2)
