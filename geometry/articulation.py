"""Objects whose parts turn about hinges: where the keypoints are at given angles.

A part is joined to the body of the object by one hinge, so that a keypoint depends on one angle at
most. A point p that turns by q about an axis a through c lies at p + sin q · a × (p − c) +
(1 − cos q) · a × (a × (p − c)): all keypoints are linear in the sines and cosines of the angles. A
rigid object has no hinges.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from opendactyl.geometry.rotation import Array, quat_from_axis_angle, quat_to_matrix


@dataclass(frozen=True)
class Hinge:
    """A hinge between the body of an object and a part, in the object frame, in SI units."""

    name: str
    """Name of the part that it turns."""
    axis: tuple[float, ...]
    """Unit vector (3,)."""
    anchor: tuple[float, ...]
    """A point (3,) of the axis."""
    keypoints: tuple[int, int]
    """The first keypoint that it moves, and one past the last."""
    limits: tuple[float, float] | None = None
    """Lowest and highest angle; None: it turns freely."""
    rest: float = 0.0
    """The angle at which the object is drawn and episodes begin."""

    def sample(self, rng: np.random.Generator) -> float:
        """An angle, uniform within the limits."""
        return float(rng.uniform(*(self.limits or (-np.pi, np.pi))))

    def pose(self, angle: float) -> Array:
        """The motion (4, 4) of the part from angle zero, in the object frame."""
        pose, anchor = np.eye(4), np.array(self.anchor)
        pose[:3, :3] = quat_to_matrix(quat_from_axis_angle(self.axis, angle))
        pose[:3, 3] = anchor - pose[:3, :3] @ anchor
        return pose

    def to_dict(self) -> dict[str, Any]:
        """JSON-serialisable form."""
        return {
            "name": self.name,
            "axis": list(self.axis),
            "anchor": list(self.anchor),
            "keypoints": list(self.keypoints),
            "limits": None if self.limits is None else list(self.limits),
            "rest": self.rest,
        }

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> "Hinge":
        """The inverse of `to_dict`.

        Raises:
            ValueError: an axis, anchor or range of keypoints does not have its form.
            KeyError: a key is missing.
        """
        axis, anchor = _numbers(value["axis"], 3), _numbers(value["anchor"], 3)
        if abs(np.linalg.norm(axis) - 1) > 1e-6:
            raise ValueError(f"the axis of a hinge must have unit length, got {list(axis)}")
        first, last = map(int, value["keypoints"])
        if not 0 <= first < last:
            raise ValueError(f"a hinge cannot move the keypoints {value['keypoints']}")
        low, high = (None, None) if value["limits"] is None else _numbers(value["limits"], 2)
        limits = None if low is None or high is None else (low, high)
        rest = float(value["rest"])
        return cls(str(value["name"]), axis, anchor, (first, last), limits, rest)


def _numbers(values: Sequence[float], count: int) -> tuple[float, ...]:
    array = np.asarray(values, dtype=np.float64)
    if array.shape != (count,) or not np.isfinite(array).all():
        raise ValueError(f"expected {count} finite numbers, got {values!r}")
    return tuple(array.tolist())


@dataclass(frozen=True, eq=False)
class Articulation:
    """Keypoints of an object and the hinges that move them."""

    points: Array
    """The keypoints (K, 3) at angle zero, in the object frame, in metres."""
    hinges: tuple[Hinge, ...] = ()
    """The hinges: H of them."""

    @cached_property
    def basis(self) -> tuple[Array, Array]:
        """Displacements (H, K, 3) by the sine of each angle, and by one minus its cosine."""
        sine = np.zeros((len(self.hinges), *self.points.shape))
        versine = np.zeros_like(sine)
        for number, hinge in enumerate(self.hinges):
            moved = slice(*hinge.keypoints)
            sine[number, moved] = np.cross(hinge.axis, self.points[moved] - hinge.anchor)
            versine[number, moved] = np.cross(hinge.axis, sine[number, moved])
        return sine, versine

    @property
    def rest(self) -> Array:
        """The angles (H,) at rest, in radians."""
        return np.array([hinge.rest for hinge in self.hinges])

    @property
    def own(self) -> slice:
        """The keypoints of the body, which no hinge moves; they come first."""
        return slice(self.hinges[0].keypoints[0] if self.hinges else len(self.points))

    def sample(self, rng: np.random.Generator) -> Array:
        """Angles (H,), uniform within the limits."""
        return np.array([hinge.sample(rng) for hinge in self.hinges])

    def clipped(self, angles: Array) -> Array:
        """Angles (H,) within the limits."""
        limits = [hinge.limits or (-np.inf, np.inf) for hinge in self.hinges]
        return np.clip(angles, *np.reshape(limits, (-1, 2)).T)

    def at(self, angles: ArrayLike) -> Array:
        """The keypoints (..., K, 3) at angles (..., H), in the object frame."""
        angles = np.asarray(angles, dtype=np.float64)
        sine, versine = self.basis
        moved = np.einsum("...h,hki->...ki", np.sin(angles), sine)
        return self.points + moved + np.einsum("...h,hki->...ki", 1 - np.cos(angles), versine)


def wrap_angle(angle: ArrayLike) -> Array:
    """Angles in (−π, π]."""
    return np.pi - np.mod(np.pi - np.asarray(angle, dtype=np.float64), 2 * np.pi)
