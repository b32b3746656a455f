"""Rotations in torch, for training and export; shapes and conventions as in `rotation`."""

import torch
from torch import Tensor
from torch.nn import functional


def quat_to_matrix(q: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) of unit quaternions (..., 4)."""
    w, x, y, z = q.unbind(-1)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def matrix_to_quat(m: Tensor) -> Tensor:
    """Unit quaternions (..., 4) with w >= 0 of rotation matrices (..., 3, 3), without branches.

    Each row of 4 q qᵀ is a multiple of q. The rows are given the sign of the longest one and
    summed, which needs ONNX operators only.
    """
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    wx = m[..., 2, 1] - m[..., 1, 2]
    wy = m[..., 0, 2] - m[..., 2, 0]
    wz = m[..., 1, 0] - m[..., 0, 1]
    xy = m[..., 0, 1] + m[..., 1, 0]
    xz = m[..., 0, 2] + m[..., 2, 0]
    yz = m[..., 1, 2] + m[..., 2, 1]
    rows = torch.stack(
        [
            torch.stack([1 + xx + yy + zz, wx, wy, wz], dim=-1),
            torch.stack([wx, 1 + xx - yy - zz, xy, xz], dim=-1),
            torch.stack([wy, xy, 1 - xx + yy - zz, yz], dim=-1),
            torch.stack([wz, xz, yz, 1 - xx - yy + zz], dim=-1),
        ],
        dim=-2,
    )
    length = (rows * rows).sum(dim=-1, keepdim=True)
    longest = length.argmax(dim=-2, keepdim=True)
    reference = rows.gather(-2, longest.expand(*longest.shape[:-1], 4))
    sign = torch.where((rows * reference).sum(dim=-1, keepdim=True) < 0, -1.0, 1.0)
    q = functional.normalize((sign * rows).sum(dim=-2), dim=-1)
    return q * torch.where(q[..., :1] < 0, -1.0, 1.0)


def matrix_from_6d(v: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) from two column vectors (..., 6), by Gram-Schmidt.

    The continuous 6D representation of Zhou et al. 2019 (arXiv 1812.07035).
    """
    x = functional.normalize(v[..., :3], dim=-1)
    b = v[..., 3:] - (x * v[..., 3:]).sum(dim=-1, keepdim=True) * x
    y = functional.normalize(b, dim=-1)
    return torch.stack([x, y, torch.linalg.cross(x, y)], dim=-1)


def orthogonalize(v: Tensor, squarings: int = 12) -> Tensor:
    """The rotations (..., 3, 3) nearest to 3×3 matrices (..., 9) in row-major order, without SVD.

    ONNX has no SVD. The rotation's quaternion is the eigenvector of the largest eigenvalue of
    Davenport's symmetric 4×4 matrix, found by repeated squaring. Unlike Newton-Schulz iteration on
    the 3×3 matrix, this needs no special case for negative determinants.
    """
    m = v.unflatten(-1, (3, 3)).float()
    m = m / torch.linalg.vector_norm(m, dim=(-2, -1), keepdim=True).clamp_min(1e-12)
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    a = m[..., 2, 1] - m[..., 1, 2]
    b = m[..., 0, 2] - m[..., 2, 0]
    c = m[..., 1, 0] - m[..., 0, 1]
    d = m[..., 0, 1] + m[..., 1, 0]
    e = m[..., 0, 2] + m[..., 2, 0]
    f = m[..., 1, 2] + m[..., 2, 1]
    k = torch.stack(
        [
            torch.stack([xx + yy + zz, a, b, c], dim=-1),
            torch.stack([a, xx - yy - zz, d, e], dim=-1),
            torch.stack([b, d, -xx + yy - zz, f], dim=-1),
            torch.stack([c, e, f, -xx - yy + zz], dim=-1),
        ],
        dim=-2,
    )
    # Shifted to be positive definite: the eigenvalues of K lie in [-sqrt(3), sqrt(3)].
    k = k + 1.8 * torch.eye(4, dtype=k.dtype, device=k.device)
    for _ in range(squarings):
        k = k / k.diagonal(dim1=-2, dim2=-1).sum(dim=-1)[..., None, None]
        k = k @ k
    # All columns are now multiples of the eigenvector; the longest is the most accurate.
    longest = (k * k).sum(dim=-2).argmax(dim=-1)
    q = k.gather(-1, longest[..., None, None].expand(*k.shape[:-1], 1))[..., 0]
    return quat_to_matrix(functional.normalize(q, dim=-1))


def geodesic_angle(a: Tensor, b: Tensor) -> Tensor:
    """The angle (...,) between rotation matrices (..., 3, 3), with finite gradients everywhere.

    With s the Frobenius distance, the angle is 2 asin(s / sqrt(8)). The argument is clamped below
    one, since the derivative of asin is unbounded there.
    """
    chord = torch.linalg.matrix_norm(a - b + 1e-12) / 8**0.5
    return 2 * torch.asin(chord.clamp(max=1 - 1e-6))
