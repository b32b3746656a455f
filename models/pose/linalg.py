"""Rotations and inverses of small matrices, in operations that ONNX has."""

import torch
from torch import Tensor


def cayley_rotation(w: Tensor) -> Tensor:
    """Rotation matrices (B, 3, 3) of rotation vectors (B, 3), by the Cayley transform.

    It agrees with the exponential map to second order and has no division by the angle.
    """
    x, y, z = (w / 2).unbind(-1)
    square = x * x + y * y + z * z
    s = 2 / (1 + square)
    rows = (
        (1 - s * (y * y + z * z), s * (x * y - z), s * (x * z + y)),
        (s * (x * y + z), 1 - s * (x * x + z * z), s * (y * z - x)),
        (s * (x * z - y), s * (y * z + x), 1 - s * (x * x + y * y)),
    )
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def invert_3x3(m: Tensor) -> Tensor:
    """Inverses of matrices (..., 3, 3), by the adjugate."""
    a, b, c = m.unbind(-2)
    cofactors = torch.stack(
        [torch.linalg.cross(b, c), torch.linalg.cross(c, a), torch.linalg.cross(a, b)], dim=-1
    )
    return cofactors / (a * cofactors[..., :, 0]).sum(dim=-1)[..., None, None]


def invert_6x6(m: Tensor) -> Tensor:
    """Inverses of symmetric positive definite matrices (..., 6, 6), by 3×3 blocks."""
    a, b, d = m[..., :3, :3], m[..., :3, 3:], m[..., 3:, 3:]
    a_inverse = invert_3x3(a)
    ab = a_inverse @ b
    schur = invert_3x3(d - b.mT @ ab)
    upper = torch.cat([a_inverse + ab @ schur @ ab.mT, -ab @ schur], dim=-1)
    lower = torch.cat([-(ab @ schur).mT, schur], dim=-1)
    return torch.cat([upper, lower], dim=-2)
