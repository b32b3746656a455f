"""Pose errors and what is reported of them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from opendactyl.geometry.rotation import (
    Array,
    quat_conjugate,
    quat_multiply,
    quat_rotate,
    quat_to_rotvec,
)
from opendactyl.geometry.symmetry import rotations_of, symmetric_angle
from opendactyl.vision.measures.predictions import Predictions

CHI2_90_3 = 6.251388631170325
"""The 90 % quantile of the chi-squared distribution with three degrees of freedom."""
GOOD_ANGLE_DEG, GOOD_MM = 2.71, 3.12
"""Dactyl's own errors (D18 Table 6), which put degrees and millimetres on one scale."""
ADD_LIMIT = 0.1
"""The AUC of ADD runs from zero to this distance, in metres (PoseCNN, arXiv 1711.00199)."""
VISIBLE_BINS = 20
"""Bins of the object's visible share: a hand hides little of a block, so they must be narrow."""


def summarize(values: NDArray[np.floating[Any]]) -> dict[str, float]:
    """Mean, deviation and percentiles of errors (N,)."""
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


def compute_metrics(p: Predictions, points: Array) -> dict[str, Any]:
    """The contents of `metrics.json`.

    Args:
        p: estimates and truth.
        points: corners of the object (K, 3) in metres, for ADD, the mean distance of its points,
            and for the rotations under which it looks alike but for its faces.
    """
    angle, distance = p.rotation_error_deg, p.position_error_mm
    axes = np.abs(p.position - p.true_position).mean(axis=0) * 1000
    turns = np.rad2deg(np.abs(error_rotvec(p)).mean(axis=0))
    turns_alike = rotations_of(points)
    symmetric = np.rad2deg(symmetric_angle(p.quaternion, p.true_quaternion, turns_alike))
    squares = squared_distances(p)
    return {
        "n": len(angle),
        "rotation_error_deg": summarize(angle)
        | {name: float(value) for name, value in zip("xyz", turns, strict=True)},
        "position_error_mm": summarize(distance)
        | {name: float(value) for name, value in zip("xyz", axes, strict=True)},
        "rotation_error_deg_symmetric": summarize(symmetric),
        "accuracy": {name: float(np.mean(inside)) for name, inside in within(p).items()},
        "add_auc": add_auc(p, points),
        "coverage_90_position": float(np.mean(squares[0] <= CHI2_90_3)),
        "coverage_90_rotation": float(np.mean(squares[1] <= CHI2_90_3)),
        "by_visibility": by_visibility(p.visible_fraction.mean(axis=1), angle, distance),
    }


def by_visibility(share: Array, degrees: Array, millimetres: Array) -> list[dict[str, Any]]:
    """Mean errors in each bin of the object's visible share that was met, fewest seen first.

    Args:
        share: of the object that nothing hides, mean over the cameras (N,).
        degrees: rotation errors (N,).
        millimetres: position errors (N,).
    """
    number = visible_bin(share)
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


def visible_bin(share: Array) -> NDArray[np.intp]:
    """The bin (N,) of each visible share, from 0."""
    return np.minimum((share * VISIBLE_BINS).astype(np.intp), VISIBLE_BINS - 1)


def within(p: Predictions) -> dict[str, NDArray[np.bool_]]:
    """Which estimates (N,) are as near to the truth as each name says."""
    angle, distance = p.rotation_error_deg, p.position_error_mm
    return {
        "5deg_5mm": (angle <= 5) & (distance <= 5),
        "10deg_10mm": (angle <= 10) & (distance <= 10),
        "0.1rad": np.deg2rad(angle) <= 0.1,
        "0.4rad": np.deg2rad(angle) <= 0.4,
    }


def add_auc(p: Predictions, points: Array) -> float:
    """Area under the share of samples whose ADD is below a threshold from 0 to `ADD_LIMIT`."""
    moved = quat_rotate(p.quaternion[:, None], points) + p.position[:, None]
    true = quat_rotate(p.true_quaternion[:, None], points) + p.true_position[:, None]
    add = np.linalg.norm(moved - true, axis=-1).mean(axis=-1)
    return float(np.mean(np.clip(1 - add / ADD_LIMIT, 0, 1)))


def error_rotvec(p: Predictions) -> Array:
    """The turns (N, 3) from estimate to truth: rotation vectors in the hand frame, in radians."""
    return quat_to_rotvec(quat_multiply(p.true_quaternion, quat_conjugate(p.quaternion)))


def squared_distances(p: Predictions) -> tuple[Array, Array]:
    """Squared Mahalanobis distances (N,) of position and of the rotation vector of the error."""
    offset = p.true_position - p.position
    turn = error_rotvec(p)
    return tuple(  # pyright: ignore[reportReturnType]
        np.einsum("ni,nij,nj->n", e, np.linalg.inv(p.covariance[:, s, s]), e)
        for e, s in ((offset, slice(0, 3)), (turn, slice(3, 6)))
    )


def bootstrap_interval(
    values: NDArray[np.floating[Any]] | NDArray[np.integer[Any]] | NDArray[np.bool_],
    *,
    share: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """A bootstrap confidence interval of the mean of values (N,)."""
    rng = np.random.default_rng(seed)
    # One draw after the other: all at once would be gigabytes for a large dataset.
    means = [values[rng.integers(0, len(values), len(values))].mean() for _ in range(draws)]
    low, high = np.quantile(means, [(1 - share) / 2, (1 + share) / 2])
    return float(low), float(high)
