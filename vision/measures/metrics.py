"""Pose errors and their statistics."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opendactyl.geometry.rig import Rig
from opendactyl.geometry.rotation import (
    Array,
    quat_conjugate,
    quat_multiply,
    quat_rotate,
    quat_to_rotvec,
)
from opendactyl.geometry.symmetry import (
    NO_SYMMETRY,
    SymmetryGroup,
    rotations_of,
    symmetric_angle,
)
from opendactyl.vision.measures.bop_errors import (
    IMAGE_WIDTH,
    PIXEL_LIMITS,
    SURFACE_LIMITS,
    average_recall,
    mspd,
    mssd,
)
from opendactyl.vision.measures.predictions import HingePredictions, Predictions

CHI2_90_3 = 6.251388631170325
"""90 % quantile of the chi-squared distribution with three degrees of freedom."""
NORMAL_90 = 1.6448536269514722
"""90 % of a standard normal distribution lie within plus and minus this."""
GOOD_ANGLE_DEG, GOOD_MM = 2.71, 3.12
"""Dactyl's errors (D18 Table 6), which weigh degrees against millimetres."""
ADD_LIMIT = 0.1
"""Upper threshold of the AUC of ADD, in metres (PoseCNN, arXiv 1711.00199)."""
VISIBLE_BINS = 20
"""Bins of the visible fraction. Narrow, since a hand occludes little of a block."""


def summarize(values: NDArray[np.floating[Any]]) -> dict[str, float]:
    """Mean, standard deviation and percentiles of errors (N,)."""
    p90, p95, p99 = np.percentile(values, [90, 95, 99])
    return {
        "mean": float(np.mean(values)),
        "std": float(np.std(values)),
        "median": float(np.median(values)),
        "p90": float(p90),
        "p95": float(p95),
        "p99": float(p99),
        "max": float(np.max(values)),
    }


def compute_metrics(
    p: Predictions,
    points: Array,
    symmetry: SymmetryGroup = NO_SYMMETRY,
    rig: Rig | Sequence[Rig] | None = None,
) -> dict[str, Any]:
    """The contents of `metrics.json`.

    Args:
        p: estimates and true poses.
        points: corners of the object's body (K, 3) in metres, for ADD (average distance of the
            points) and for the rotational symmetries of the solid.
        symmetry: the object's symmetry, which the true orientations respect already.
        rig: nominal cameras, for MSPD; a rig for each sample if they differ.
    """
    angle, distance = p.rotation_error_deg, p.position_error_mm
    axes = np.abs(p.position - p.true_position).mean(axis=0) * 1000
    rotations = np.rad2deg(np.abs(error_rotvec(p)).mean(axis=0))
    symmetries = rotations_of(points)
    symmetric = np.rad2deg(symmetric_angle(p.quaternion, p.true_quaternion, symmetries))
    squares = squared_distances(p)
    return {
        "n": len(angle),
        "rotation_error_deg": summarize(angle)
        | {name: float(value) for name, value in zip("xyz", rotations, strict=True)},
        "position_error_mm": summarize(distance)
        | {name: float(value) for name, value in zip("xyz", axes, strict=True)},
        "rotation_error_deg_symmetric": summarize(symmetric),
        "accuracy": {name: float(np.mean(inside)) for name, inside in within_thresholds(p).items()},
        "add_auc": add_auc(p, points),
        **_bop_entries(p, points, symmetry, rig),
        "coverage_90_position": float(np.mean(squares[0] <= CHI2_90_3)),
        "coverage_90_rotation": float(np.mean(squares[1] <= CHI2_90_3)),
        "coverage_90_axes": inside_axes(p).mean(axis=0).tolist(),
        "by_visibility": by_visibility(p.visible_fraction.mean(axis=1), angle, distance),
        **({} if p.hinges is None else _hinge_entries(p.hinges)),
    }


def _hinge_entries(hinges: HingePredictions) -> dict[str, Any]:
    """Errors of each hinge in degrees, and the fraction inside of 90 % intervals."""
    inside = inside_hinges(hinges).mean(axis=0)
    columns = zip(hinges.names, hinges.error_deg.T, strict=True)
    return {
        "hinge_error_deg": {name: summarize(values) for name, values in columns},
        "coverage_90_hinges": dict(zip(hinges.names, inside.tolist(), strict=True)),
    }


def inside_hinges(hinges: HingePredictions) -> NDArray[np.bool_]:
    """Which errors (N, H) of the angles are inside of their 90 % intervals."""
    return np.abs(hinges.error) <= NORMAL_90 * hinges.std


def _bop_entries(
    p: Predictions, points: Array, symmetry: SymmetryGroup, rig: Rig | Sequence[Rig] | None
) -> dict[str, Any]:
    """BOP's errors; MSPD, in pixels of images 640 pixels wide, needs the cameras."""
    surface = mssd(p, points, symmetry)
    diameter = float(np.linalg.norm(points[:, None] - points, axis=-1).max())
    entries: dict[str, Any] = {
        "mssd_mm": summarize(1000 * surface),
        "mssd_recall": average_recall(surface, SURFACE_LIMITS * diameter),
    }
    if rig is not None:
        first = rig if isinstance(rig, Rig) else rig[0]
        scale = IMAGE_WIDTH / np.array([camera.width for camera in first.cameras])
        pixels = mspd(p, points, symmetry, rig) * scale
        entries["mspd_px"] = summarize(pixels.ravel())
        entries["mspd_recall"] = average_recall(pixels, PIXEL_LIMITS)
    return entries


def by_visibility(visible: Array, degrees: Array, millimetres: Array) -> list[dict[str, Any]]:
    """Mean errors in each occupied bin of the visible fraction, in ascending order.

    Args:
        visible: visible fraction of the object, mean over the cameras (N,); samples for which it
            is NaN, unknown, are left out.
        degrees: rotation errors (N,).
        millimetres: position errors (N,).
    """
    known = np.isfinite(visible)
    number, degrees, millimetres = visible_bin(visible[known]), degrees[known], millimetres[known]
    return [
        {
            "visible_from": k / VISIBLE_BINS,
            "visible_to": (k + 1) / VISIBLE_BINS,
            "n": int(np.sum(number == k)),
            "rotation_error_deg": float(degrees[number == k].mean()),
            "position_error_mm": float(millimetres[number == k].mean()),
        }
        for k in np.unique(number)
    ]


def visible_bin(visible: Array) -> NDArray[np.intp]:
    """The bin (N,), from 0, of each visible fraction (N,)."""
    return np.minimum((visible * VISIBLE_BINS).astype(np.intp), VISIBLE_BINS - 1)


def within_thresholds(p: Predictions) -> dict[str, NDArray[np.bool_]]:
    """Which estimates (N,) have errors within the thresholds of each name."""
    angle, distance = p.rotation_error_deg, p.position_error_mm
    return {
        "5deg_5mm": (angle <= 5) & (distance <= 5),
        "10deg_10mm": (angle <= 10) & (distance <= 10),
        "0.1rad": np.deg2rad(angle) <= 0.1,
        "0.4rad": np.deg2rad(angle) <= 0.4,
    }


def add_auc(p: Predictions, points: Array) -> float:
    """Normalised area under the accuracy-threshold curve of ADD, from 0 to `ADD_LIMIT`."""
    moved = quat_rotate(p.quaternion[:, None], points) + p.position[:, None]
    true = quat_rotate(p.true_quaternion[:, None], points) + p.true_position[:, None]
    add = np.linalg.norm(moved - true, axis=-1).mean(axis=-1)
    return float(np.mean(np.clip(1 - add / ADD_LIMIT, 0, 1)))


def error_rotvec(p: Predictions) -> Array:
    """Rotation vectors (N, 3) from estimate to truth, in radians, hand frame."""
    return quat_to_rotvec(quat_multiply(p.true_quaternion, quat_conjugate(p.quaternion)))


def squared_distances(p: Predictions) -> tuple[Array, Array]:
    """Squared Mahalanobis distances (N,) of the errors of position and of rotation."""
    return tuple(  # pyright: ignore[reportReturnType]
        np.einsum("ni,nij,nj->n", e, np.linalg.inv(p.covariance[:, s, s]), e)
        for e, s in (
            (p.true_position - p.position, slice(0, 3)),
            (error_rotvec(p), slice(3, 6)),
        )
    )


def inside_axes(p: Predictions) -> NDArray[np.bool_]:
    """Which errors (N, 6) are inside the 90 % interval of their axis.

    The axes are x, y and z of the position, then of the rotation vector, in the hand frame.
    """
    error = np.concatenate([p.true_position - p.position, error_rotvec(p)], axis=-1)
    return np.abs(error) <= NORMAL_90 * np.sqrt(np.einsum("nii->ni", p.covariance))


def bootstrap_interval(
    values: NDArray[Any], *, confidence: float = 0.95, resamples: int = 1000
) -> tuple[float, float]:
    """A bootstrap confidence interval of the mean of values (N,), by the percentile method."""
    from scipy.stats import bootstrap

    if len(values) < 2:  # SciPy refuses a single observation.
        return float(values.mean()), float(values.mean())
    low, high = bootstrap(
        (values,),
        np.mean,
        confidence_level=confidence,
        n_resamples=resamples,
        method="percentile",
        batch=100,  # All at once would take gigabytes for a large dataset.
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(low), float(high)
