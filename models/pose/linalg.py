"""Rotations and inverses of small matrices, in operations that ONNX has."""

import torch
from torch import Tensor

from opendactyl.geometry.torch_rotation import skew


def cayley_rotation(w: Tensor) -> Tensor:
    """Rotation matrices (B, 3, 3) of rotation vectors (B, 3), by the Cayley transform.

    It agrees with the exponential map to second order and has no division by the angle.
    """
    k = skew(w / 2)
    scale = 2 / (1 + (w * w).sum(dim=-1) / 4)
    return torch.eye(3).to(w) + scale[..., None, None] * (k + k @ k)


def invert_3x3(m: Tensor) -> Tensor:
    """Inverses of matrices (..., 3, 3), by the adjugate."""
    second, third = (torch.roll(m, -number, dims=-2) for number in (1, 2))
    cofactors = torch.linalg.cross(second, third)
    return cofactors.mT / (m * cofactors)[..., :1, :].sum(dim=-1, keepdim=True)


def invert_6x6(m: Tensor) -> Tensor:
    """Inverses of symmetric positive definite matrices (..., 6, 6), by 3×3 blocks."""
    a, b, d = m[..., :3, :3], m[..., :3, 3:], m[..., 3:, 3:]
    a_inverse = invert_3x3(a)
    ab = a_inverse @ b
    schur = invert_3x3(d - b.mT @ ab)
    upper = torch.cat([a_inverse + ab @ schur @ ab.mT, -ab @ schur], dim=-1)
    lower = torch.cat([-(ab @ schur).mT, schur], dim=-1)
    return torch.cat([upper, lower], dim=-2)
