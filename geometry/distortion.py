"""Lens distortion on normalised image points, with OpenCV's models and order of coefficients.

A normalised point is (x / z, y / z) in the camera frame. Brown-Conrady has 4, 5 or 8 coefficients,
k1 k2 p1 p2 [k3 [k4 k5 k6]], as `cv2.projectPoints`; the Kannala-Brandt fisheye has 4, k1 to k4, as
`cv2.fisheye.projectPoints`.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from opendactyl.core.errors import InputError
from opendactyl.geometry.rotation import Array

BROWN_CONRADY, KANNALA_BRANDT = "brown-conrady", "kannala-brandt"
COUNTS = {"none": (0,), BROWN_CONRADY: (4, 5, 8), KANNALA_BRANDT: (4,)}
"""Models, with the numbers of coefficients that each may have."""
_ITERATIONS = 30
_CONVERGED = 1e-9
_WIDEST = 20.0
"""Largest radius of a normalised point that is considered: 87° off the optical axis."""


@dataclass(frozen=True)
class Distortion:
    """The distortion of a lens; by default there is none."""

    model: str = "none"
    """A key of `COUNTS`."""
    coefficients: tuple[float, ...] = ()
    """Coefficients in OpenCV's order."""

    def __post_init__(self) -> None:
        """Checks the model and its coefficients.

        Raises:
            InputError: the model is unknown, or the coefficients do not fit it.
        """
        if self.model not in COUNTS:
            raise InputError(f"unknown distortion model {self.model!r}; use {', '.join(COUNTS)}")
        if len(self.coefficients) not in COUNTS[self.model]:
            allowed = " or ".join(map(str, COUNTS[self.model]))
            raise InputError(
                f"distortion {self.model!r} has {len(self.coefficients)} coefficients, "
                f"not {allowed}; the order is OpenCV's"
            )
        if not np.all(np.isfinite(self.coefficients)):
            raise InputError(f"distortion {self.model!r} has coefficients that are not finite")

    def __bool__(self) -> bool:
        """Whether there is any distortion."""
        return self.model != "none"

    def to_dict(self) -> dict[str, Any]:
        """JSON-serialisable form, as in a rig file."""
        return {"model": self.model, "coefficients": list(self.coefficients)}

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> "Distortion":
        """Inverse of `to_dict`.

        Raises:
            InputError: the model is unknown, or the coefficients do not fit it.
        """
        coefficients = value.get("coefficients", ())
        return cls(str(value["model"]), tuple(float(c) for c in coefficients))

    def distort(self, points: ArrayLike) -> Array:
        """Distorts normalised points (..., 2)."""
        points = np.asarray(points, dtype=np.float64)
        if self.model == BROWN_CONRADY:
            return _brown_conrady(points, self._eight)[0]
        if self.model == KANNALA_BRANDT:
            radius = np.linalg.norm(points, axis=-1, keepdims=True)
            angle, _ = self._fisheye_angle(np.arctan(radius))
            return points * np.where(radius > 0, angle / np.where(radius > 0, radius, 1.0), 1.0)
        return points.copy()

    def undistort(self, points: ArrayLike) -> Array:
        """Inverse of `distort` for points (..., 2), by Newton's method.

        A point that the lens forms of no direction in front of the camera becomes NaN.
        """
        points = np.asarray(points, dtype=np.float64)
        if self.model == BROWN_CONRADY:
            return self._undistort_brown_conrady(points)
        if self.model == KANNALA_BRANDT:
            return self._undistort_fisheye(points)
        return points.copy()

    @cached_property
    def max_radius(self) -> float:
        """Radius of normalised points up to which the radial distortion increases.

        Beyond it the polynomial folds back: it would map points outside the field of view into the
        image.
        """
        radius = np.linspace(0.0, _WIDEST, 20001)
        points = np.stack([radius, np.zeros_like(radius)], axis=-1)
        radial = Distortion(self.model, self._without_tangential)
        falls = np.diff(radial.distort(points)[:, 0]) <= 0
        return float(radius[np.argmax(falls)]) if falls.any() else np.inf

    @property
    def _without_tangential(self) -> tuple[float, ...]:
        if self.model != BROWN_CONRADY:
            return self.coefficients
        return (*self.coefficients[:2], 0.0, 0.0, *self.coefficients[4:])

    @property
    def _eight(self) -> Array:
        return np.array([*self.coefficients, *[0.0] * (8 - len(self.coefficients))])

    def _fisheye_angle(self, theta: Array) -> tuple[Array, Array]:
        """The distorted angle, and its derivative by the angle."""
        powers = np.arange(0, 9, 2)
        terms = np.array([1.0, *self.coefficients]) * theta[..., None] ** powers
        return theta * terms.sum(axis=-1), (terms * (powers + 1)).sum(axis=-1)

    def _undistort_brown_conrady(self, points: Array) -> Array:
        result = points.copy()
        with np.errstate(all="ignore"):
            for _ in range(_ITERATIONS):
                distorted, (xx, xy, yy) = _brown_conrady(result, self._eight)
                residual = distorted - points
                dx, dy = residual[..., 0], residual[..., 1]
                step = np.stack([yy * dx - xy * dy, xx * dy - xy * dx], axis=-1)
                result = result - step / (xx * yy - xy * xy)[..., None]
            residual = _brown_conrady(result, self._eight)[0] - points
            valid = np.abs(residual).max(axis=-1) < _CONVERGED
            valid &= np.linalg.norm(result, axis=-1) <= self.max_radius
        return np.where(valid[..., None], result, np.nan)

    def _undistort_fisheye(self, points: Array) -> Array:
        wanted = np.linalg.norm(points, axis=-1, keepdims=True)
        theta = wanted.copy()
        with np.errstate(all="ignore"):
            for _ in range(_ITERATIONS):
                value, slope = self._fisheye_angle(theta)
                theta = theta - (value - wanted) / slope
            value, _ = self._fisheye_angle(theta)
            radius = np.tan(theta)
            valid = (np.abs(value - wanted) < _CONVERGED) & (theta >= 0) & (theta < np.pi / 2)
            valid &= radius <= self.max_radius
            scale = np.where(wanted > 0, radius / np.where(wanted > 0, wanted, 1.0), 1.0)
        return np.where(valid, points * scale, np.nan)


def _brown_conrady(points: Array, eight: Array) -> tuple[Array, tuple[Array, Array, Array]]:
    """Distorted points (..., 2) and the derivatives xx, xy = yx and yy (...)."""
    k1, k2, p1, p2, k3, k4, k5, k6 = eight
    x, y = points[..., 0], points[..., 1]
    r2 = x * x + y * y
    top, bottom = 1 + r2 * (k1 + r2 * (k2 + r2 * k3)), 1 + r2 * (k4 + r2 * (k5 + r2 * k6))
    radial = top / bottom
    top_slope, bottom_slope = k1 + r2 * (2 * k2 + 3 * r2 * k3), k4 + r2 * (2 * k5 + 3 * r2 * k6)
    slope = 2 * (top_slope - radial * bottom_slope) / bottom
    distorted = np.stack(
        [
            x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
            y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
        ],
        axis=-1,
    )
    xx = radial + slope * x * x + 2 * p1 * y + 6 * p2 * x
    xy = slope * x * y + 2 * p1 * x + 2 * p2 * y
    yy = radial + slope * y * y + 6 * p1 * y + 2 * p2 * x
    return distorted, (xx, xy, yy)
