"""Rotations in numpy: quaternions (w, x, y, z), matrices and rotation vectors.

All functions accept leading batch dimensions: quaternions are (..., 4), matrices (..., 3, 3),
vectors (..., 3). Angles are in radians.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

_TINY = 1e-12


def _checked(value: ArrayLike, size: int, what: str) -> Array:
    array = np.asarray(value, dtype=np.float64)
    if array.ndim == 0 or array.shape[-1] != size:
        raise ValueError(f"{what} must have shape (..., {size}), got {array.shape}")
    return array


def quat_canonical(q: ArrayLike) -> Array:
    """Quaternions (..., 4) normalised to unit length, with w >= 0.

    Raises:
        ValueError: a quaternion is zero or not finite.
    """
    q = _checked(q, 4, "a quaternion")
    norm = np.linalg.norm(q, axis=-1, keepdims=True)
    if not np.all(np.isfinite(norm)) or np.any(norm < _TINY):
        raise ValueError("a quaternion must be finite and non-zero")
    return q / norm * np.where(q[..., :1] < 0, -1.0, 1.0)


def quat_multiply(a: ArrayLike, b: ArrayLike) -> Array:
    """Hamilton product a * b (..., 4): the rotation b followed by a."""
    a, b = _checked(a, 4, "a quaternion"), _checked(b, 4, "a quaternion")
    aw, ax, ay, az = a[..., 0], a[..., 1], a[..., 2], a[..., 3]
    bw, bx, by, bz = b[..., 0], b[..., 1], b[..., 2], b[..., 3]
    # Written out, since np.cross is slow for the small batches of a control loop. Grouped so that
    # a rotation times its inverse is exactly the identity.
    return np.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            (aw * bx + ax * bw) + (ay * bz - az * by),
            (aw * by + ay * bw) + (az * bx - ax * bz),
            (aw * bz + az * bw) + (ax * by - ay * bx),
        ],
        axis=-1,
    )


def quat_conjugate(q: ArrayLike) -> Array:
    """The inverse rotation of unit quaternions (..., 4)."""
    return _checked(q, 4, "a quaternion") * np.array([1.0, -1.0, -1.0, -1.0])


def quat_rotate(q: ArrayLike, v: ArrayLike) -> Array:
    """Rotates vectors (..., 3) by unit quaternions (..., 4)."""
    q, v = _checked(q, 4, "a quaternion"), _checked(v, 3, "a vector")
    w, u = q[..., :1], q[..., 1:]
    t = 2.0 * np.cross(u, v)
    return v + w * t + np.cross(u, t)


def quat_to_matrix(q: ArrayLike) -> Array:
    """Rotation matrices (..., 3, 3) of unit quaternions (..., 4)."""
    w, x, y, z = np.moveaxis(_checked(q, 4, "a quaternion"), -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def matrix_to_quat(m: ArrayLike) -> Array:
    """Unit quaternions (..., 4) with w >= 0 of rotation matrices (..., 3, 3).

    Each row of the symmetric matrix 4 q qᵀ is a multiple of q; the row with the largest diagonal
    element is well conditioned at every angle, including pi.
    """
    m = np.asarray(m, dtype=np.float64)
    if m.shape[-2:] != (3, 3):
        raise ValueError(f"a rotation matrix must have shape (..., 3, 3), got {m.shape}")
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    wx, wy, wz = (
        m[..., 2, 1] - m[..., 1, 2],
        m[..., 0, 2] - m[..., 2, 0],
        m[..., 1, 0] - m[..., 0, 1],
    )
    xy, xz, yz = (
        m[..., 0, 1] + m[..., 1, 0],
        m[..., 0, 2] + m[..., 2, 0],
        m[..., 1, 2] + m[..., 2, 1],
    )
    outer = np.stack(
        [
            np.stack([1 + xx + yy + zz, wx, wy, wz], axis=-1),
            np.stack([wx, 1 + xx - yy - zz, xy, xz], axis=-1),
            np.stack([wy, xy, 1 - xx + yy - zz, yz], axis=-1),
            np.stack([wz, xz, yz, 1 - xx - yy + zz], axis=-1),
        ],
        axis=-2,
    )
    best = np.argmax(np.diagonal(outer, axis1=-2, axis2=-1), axis=-1)
    row = np.take_along_axis(outer, best[..., None, None], axis=-2)[..., 0, :]
    return quat_canonical(row)


def quat_from_axis_angle(axis: ArrayLike, angle: ArrayLike) -> Array:
    """The rotation by `angle` (...,) about `axis` (..., 3), which need not have unit length."""
    axis = _checked(axis, 3, "an axis")
    axis = axis / np.maximum(np.linalg.norm(axis, axis=-1, keepdims=True), _TINY)
    half = np.asarray(angle, dtype=np.float64)[..., None] / 2
    w, v = np.broadcast_arrays(np.cos(half), np.sin(half) * axis)
    return quat_canonical(np.concatenate([w[..., :1], v], axis=-1))


def yaw_quat(angle: ArrayLike) -> Array:
    """The rotation by `angle` (...,) about the vertical axis z."""
    return quat_from_axis_angle([0.0, 0.0, 1.0], angle)


def rotvec_to_quat(rotvec: ArrayLike) -> Array:
    """Unit quaternions (..., 4) of rotation vectors (..., 3), axis times angle."""
    rotvec = _checked(rotvec, 3, "a rotation vector")
    angle = np.linalg.norm(rotvec, axis=-1, keepdims=True)
    # numpy's sinc is sin(pi x) / (pi x).
    v = rotvec * (0.5 * np.sinc(angle / (2 * np.pi)))
    return quat_canonical(np.concatenate([np.cos(angle / 2), v], axis=-1))


def quat_to_rotvec(q: ArrayLike) -> Array:
    """Rotation vectors (..., 3), of length at most pi, of unit quaternions (..., 4)."""
    q = quat_canonical(q)
    w, v = q[..., :1], q[..., 1:]
    norm = np.linalg.norm(v, axis=-1, keepdims=True)
    angle = 2.0 * np.arctan2(norm, w)
    scale = np.where(norm > _TINY, angle / np.maximum(norm, _TINY), 2.0)
    return scale * v


def geodesic_angle(a: ArrayLike, b: ArrayLike) -> Array:
    """The angle (...,) in [0, pi] between unit quaternions (..., 4); their signs do not matter.

    Computed by arctan2, which is accurate near 0 and near pi.
    """
    d = quat_multiply(quat_conjugate(a), b)
    return 2.0 * np.arctan2(np.linalg.norm(d[..., 1:], axis=-1), np.abs(d[..., 0]))


def random_quat(rng: np.random.Generator, shape: tuple[int, ...] = ()) -> Array:
    """Rotations (*shape, 4) sampled uniformly on SO(3), as normalised Gaussian 4-vectors."""
    return quat_canonical(rng.standard_normal((*shape, 4)))
