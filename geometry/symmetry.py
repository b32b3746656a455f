"""Rotational symmetries of solids, and rotation errors modulo these symmetries."""

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from opendactyl.geometry.rotation import (
    Array,
    geodesic_angle,
    matrix_to_quat,
    quat_canonical,
    quat_conjugate,
    quat_from_axis_angle,
    quat_multiply,
    quat_rotate,
)

MAX_ROTATIONS = 120
"""Largest group of discrete rotations; the icosahedron's has 60."""
_SAME = 1e-4
"""Rotations that differ by less than this angle in radians are one."""


@dataclass(frozen=True, eq=False)
class SymmetryGroup:
    """The rotations about the origin that leave an object unchanged."""

    rotations: Array
    """Discrete rotations (S, 4), identity first."""
    axis: Array | None = None
    """Unit vector (3,) of the axis of revolution; the object has no defined spin about it."""

    @property
    def is_trivial(self) -> bool:
        """Whether only the identity leaves the object unchanged."""
        return self.axis is None and len(self.rotations) == 1

    @property
    def smallest_angle(self) -> float:
        """The smallest angle of a rotation that leaves the object unchanged, in radians.

        Zero for a body of revolution, 2π if there is none but the identity.
        """
        if self.axis is not None:
            return 0.0
        cosines = np.abs(self.rotations[1:, 0])
        return float(2 * np.arccos(min(cosines.max(initial=-1.0), 1.0)))

    def equivalent(self, truth: ArrayLike, estimate: ArrayLike) -> Array:
        """The orientations (..., 4) equivalent to `truth` and nearest to `estimate` (..., 4)."""
        truth, estimate = np.asarray(truth, dtype=float), np.asarray(estimate, dtype=float)
        if self.is_trivial:
            return truth
        images = quat_multiply(truth[..., None, :], self.rotations)
        if self.axis is not None:
            images = quat_multiply(images, self._spin(images, estimate[..., None, :]))
        nearest = np.argmin(geodesic_angle(estimate[..., None, :], images), axis=-1)
        return quat_canonical(np.take_along_axis(images, nearest[..., None, None], -2)[..., 0, :])

    def _spin(self, images: Array, estimate: Array) -> Array:
        """Rotations about the axis that bring `images` nearest to `estimate` (swing and twist)."""
        assert self.axis is not None
        relative = quat_multiply(quat_conjugate(images), estimate)
        angle = 2 * np.arctan2(relative[..., 1:] @ self.axis, relative[..., 0])
        return quat_from_axis_angle(self.axis, angle)

    def angle(self, estimate: ArrayLike, truth: ArrayLike) -> Array:
        """The angle (...,) from `estimate` to the nearest equivalent of `truth`, in radians.

        For a body of revolution it is the angle between the axes.
        """
        return geodesic_angle(np.asarray(estimate, dtype=float), self.equivalent(truth, estimate))

    def canonical(self, quat: ArrayLike) -> Array:
        """The orientations (..., 4) equivalent to `quat` that are nearest to the identity."""
        identity = np.zeros(np.shape(quat))
        identity[..., 0] = 1.0
        return self.equivalent(quat, identity)

    def samples(self, spins: int) -> Array:
        """Rotations (S * spins, 4) of the group, with `spins` steps about an axis of revolution."""
        if self.axis is None:
            return self.rotations
        about = quat_from_axis_angle(self.axis, 2 * np.pi * np.arange(spins) / spins)
        return quat_multiply(self.rotations[:, None], about).reshape(-1, 4)

    def to_dict(self) -> dict[str, Any]:
        """JSON-serialisable form."""
        axis = None if self.axis is None else self.axis.tolist()
        return {"rotations": self.rotations.tolist(), "axis": axis}

    @classmethod
    def from_dict(cls, value: dict[str, Any] | None) -> "SymmetryGroup":
        """Inverse of `to_dict`; None is the trivial group."""
        if value is None:
            return NO_SYMMETRY
        axis = value["axis"]
        return cls(np.array(value["rotations"], dtype=float), None if axis is None else unit(axis))

    @classmethod
    def generated(cls, generators: ArrayLike, axis: ArrayLike | None = None) -> "SymmetryGroup":
        """The group that rotations (G, 4) and revolution about an axis generate.

        Raises:
            ValueError: it is not finite, or a rotation moves the axis.
        """
        generators = quat_canonical(np.asarray(generators, dtype=float).reshape(-1, 4))
        direction = None if axis is None else unit(axis)
        if direction is not None:
            moved = np.abs(quat_rotate(generators, direction) @ direction)
            if np.any(moved < np.cos(_SAME)):
                raise ValueError("a rotation moves the axis of revolution")
        group = [np.array([1.0, 0.0, 0.0, 0.0])]
        for member in group:  # grows while it is iterated
            for product in quat_canonical(quat_multiply(member, generators)):
                if np.max(np.abs(np.stack(group) @ product)) < np.cos(_SAME / 2):
                    group.append(product)
            if len(group) > MAX_ROTATIONS:
                raise ValueError(f"the rotations generate more than {MAX_ROTATIONS} rotations")
        return cls(np.stack(group), direction)


def unit(vector: ArrayLike) -> Array:
    """A vector (3,) scaled to length 1.

    Raises:
        ValueError: it has no direction.
    """
    value = np.asarray(vector, dtype=float)
    length = np.linalg.norm(value)
    if value.shape != (3,) or not length > 0:
        raise ValueError(f"{vector} is not an axis of three numbers")
    return value / length


NO_SYMMETRY = SymmetryGroup(np.array([[1.0, 0.0, 0.0, 0.0]]))


def _cube_rotations() -> Array:
    matrices = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            matrix = np.eye(3)[list(order)] * np.array(signs)[:, None]
            if np.linalg.det(matrix) > 0:
                matrices.append(matrix)
    quats = matrix_to_quat(np.stack(matrices))
    identity_first = np.argsort(-quats[:, 0], kind="stable")
    return quats[identity_first]


CUBE_ROTATIONS = _cube_rotations()
"""The 24 rotations (24, 4) that map a cube onto itself, identity first."""


def rotations_of(corners: ArrayLike) -> Array:
    """The rotations (S, 4) that map a solid's corners (K, 3) onto themselves, identity first."""
    corners = np.asarray(corners, dtype=float)
    tolerance = 1e-6 * np.abs(corners).max()
    # The images of two corners that are not collinear with the origin determine a rotation.
    a = corners[np.argmax(np.linalg.norm(corners, axis=-1))]
    b = corners[np.argmax(np.linalg.norm(np.cross(a, corners), axis=-1))]
    frame = np.linalg.inv(np.stack([a, b, np.cross(a, b)], axis=-1))
    found = []
    for c, d in itertools.permutations(corners, 2):
        matrix = np.stack([c, d, np.cross(c, d)], axis=-1) @ frame
        moved = corners @ matrix.T
        gaps = np.linalg.norm(moved[:, None] - corners, axis=-1).min(axis=1)
        if np.allclose(matrix @ matrix.T, np.eye(3), atol=1e-6) and gaps.max() < tolerance:
            found.append(matrix)
    quats = matrix_to_quat(np.stack(found))
    return quats[np.argsort(-quats[:, 0], kind="stable")]


def nearest_symmetry(
    estimate: ArrayLike, truth: ArrayLike, rotations: Array = CUBE_ROTATIONS
) -> np.ndarray:
    """Index (...,) of the symmetry s that minimises the angle from `truth * s` to `estimate`."""
    return np.argmin(_angles(estimate, truth, rotations), axis=-1)


def symmetric_angle(
    estimate: ArrayLike, truth: ArrayLike, rotations: Array = CUBE_ROTATIONS
) -> Array:
    """The smallest angle (...,), over all symmetries, between orientations (..., 4), in radians."""
    return np.min(_angles(estimate, truth, rotations), axis=-1)


def _angles(estimate: ArrayLike, truth: ArrayLike, rotations: Array) -> Array:
    estimate, truth = np.asarray(estimate, dtype=float), np.asarray(truth, dtype=float)
    images = quat_multiply(truth[..., None, :], rotations)
    return geodesic_angle(estimate[..., None, :], images)


def rotation_name(quat: Array) -> str:
    """A rotation as text: degrees, and the axis in the object's frame."""
    angle = 2 * np.arccos(np.clip(quat[0], -1, 1))
    if angle < 1e-6:
        return "none"
    axis = quat[1:] / np.abs(quat[1:]).max()
    if np.abs(axis - axis.round()).max() > 0.01:
        return f"{np.rad2deg(angle):.0f}° ({', '.join(f'{x:.1f}' for x in axis)})"
    axis, signs = axis.round().astype(int), {-1: "−", 1: ""}
    names = [signs[sign] + name for sign, name in zip(axis, "xyz", strict=True) if sign]
    return f"{np.rad2deg(angle):.0f}° {' '.join(names)}"
