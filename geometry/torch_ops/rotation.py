"""Rotations in torch, for training and export; shapes and conventions as in `rotation`."""

import torch
from torch import Tensor
from torch.nn import functional


def _davenport_basis() -> Tensor:
    basis = torch.zeros(3, 3, 4, 4)
    basis[:, :, 0, 1:] = basis[:, :, 1:, 0] = SKEW.permute(1, 2, 0)
    for i in range(3):
        for j in range(3):
            basis[i, j, 1 + i, 1 + j] += 1.0
            basis[i, j, 1 + j, 1 + i] += 1.0
        basis[i, i] += torch.diag(torch.tensor([1.0, -1.0, -1.0, -1.0]))
    return basis


SKEW = torch.tensor(
    [
        [[0.0, 0, 0], [0, 0, -1], [0, 1, 0]],
        [[0, 0, 1], [0, 0, 0], [-1, 0, 0]],
        [[0, -1, 0], [1, 0, 0], [0, 0, 0]],
    ]
)
"""The skew-symmetric matrices of the three axes."""
DAVENPORT = _davenport_basis()
"""Davenport's symmetric 4×4 matrix (Markley 1988) of each entry of a 3×3 matrix."""


def skew(v: Tensor) -> Tensor:
    """Matrices (..., 3, 3) whose product with a vector x is the cross product v x x."""
    return (v @ SKEW.to(v).flatten(1)).unflatten(-1, (3, 3))


def unskew(m: Tensor) -> Tensor:
    """Vectors (..., 3) of the skew-symmetric parts of matrices (..., 3, 3)."""
    return 0.5 * (m.flatten(-2) @ SKEW.to(m).flatten(1).T)


def quat_to_matrix(q: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) of unit quaternions (..., 4)."""
    k = skew(q[..., 1:])
    return torch.eye(3).to(q) + 2 * (q[..., :1, None] * k + k @ k)


def matrix_to_quat(m: Tensor) -> Tensor:
    """Unit quaternions (..., 4) with w >= 0 of rotation matrices (..., 3, 3), without branches.

    Davenport's matrix plus the identity is 4 q qᵀ, so that each row is a multiple of q. The rows
    are given the sign of the longest one and summed, which needs ONNX operators only.
    """
    rows = _davenport(m) + torch.eye(4).to(m)
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


def orthogonalize(v: Tensor) -> Tensor:
    """The rotations (..., 3, 3) nearest to 3×3 matrices (..., 9) in row-major order, without SVD.

    ONNX has no SVD. The rotation's quaternion is the eigenvector of the largest eigenvalue of
    Davenport's symmetric 4×4 matrix, found from a power of the matrix. Unlike Newton-Schulz
    iteration on the 3×3 matrix, this needs no special case for negative determinants.
    """
    v = v.float()
    v = v / torch.linalg.vector_norm(v, dim=-1, keepdim=True).clamp_min(1e-12)
    # Shifted to be positive definite: the eigenvalues lie in [-sqrt(3), sqrt(3)].
    k = _davenport(v.unflatten(-1, (3, 3))) + 1.8 * torch.eye(4).to(v)
    for _ in range(4):
        k = torch.linalg.matrix_power(k / k.amax(dim=(-2, -1), keepdim=True), 8)
    # All columns are now multiples of the eigenvector; the longest is the most accurate.
    longest = (k * k).sum(dim=-2).argmax(dim=-1)
    q = k.gather(-1, longest[..., None, None].expand(*k.shape[:-1], 1))[..., 0]
    return quat_to_matrix(functional.normalize(q, dim=-1))


def _davenport(m: Tensor) -> Tensor:
    """Symmetric matrices (..., 4, 4); the eigenvector of the largest eigenvalue is a quaternion."""
    return (m.flatten(-2) @ DAVENPORT.to(m).view(9, 16)).unflatten(-1, (4, 4))


def geodesic_angle(a: Tensor, b: Tensor) -> Tensor:
    """The angle (...,) between rotation matrices (..., 3, 3), with finite gradients everywhere.

    With s the Frobenius distance, the angle is 2 asin(s / sqrt(8)). The argument is clamped below
    one, since the derivative of asin is unbounded there.
    """
    chord = torch.linalg.matrix_norm(a - b + 1e-12) / 8**0.5
    return 2 * torch.asin(chord.clamp(max=1 - 1e-6))
