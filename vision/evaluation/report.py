"""The report of an evaluation, for people."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from opendactyl.core.cpu import cores
from opendactyl.core.html_report import HtmlReport
from opendactyl.datasets.loading.cache import CachedDataset
from opendactyl.geometry.rotation import Array
from opendactyl.geometry.symmetry import nearest_symmetry, rotations_of
from opendactyl.vision.measures.gallery import draw_worst
from opendactyl.vision.measures.metrics import (
    CHI2_90_3,
    VISIBLE_BINS,
    bootstrap_interval,
    squared_distances,
    visible_bin,
    within,
)
from opendactyl.vision.measures.predictions import Predictions

WORST = 24


@dataclass(frozen=True)
class Circumstances:
    """What the estimates alone do not tell of a measurement."""

    latency_ms: list[float]
    """Times of single estimates."""
    chosen_by: bool
    """Whether the estimator was chosen, and its uncertainty scaled, by this very data."""


def write_report(
    path: Path,
    p: Predictions,
    metrics: dict[str, Any],
    data: CachedDataset,
    about: Circumstances,
) -> None:
    """Writes `report.html`: numbers with intervals, distributions, and the worst samples."""
    report = HtmlReport("Pose estimation report")
    report.text(_heading(metrics["n"], data, about))
    _numbers(report, p, metrics)
    angle, distance = p.rotation_error_deg, p.position_error_mm
    report.figure(_distributions(angle, distance), "Share of samples below an error.")
    report.figure(_against_visibility(p), "Error by how much of the object nothing hides.")
    report.figure(_calibration(p), "Share of truths inside the predicted regions.")
    alike = rotations_of(data.manifest.keypoints[: data.manifest.num_corners])
    report.text(_wrong_faces(p, metrics, alike))
    report.figure(_confusion(p, alike), "The turn of the bare solid that the error is nearest to.")
    report.image(
        draw_worst(p, data, WORST), f"The {WORST} worst rotations: true axes thin, estimated thick."
    )
    report.write(path)


def _heading(n: int, data: CachedDataset, about: Circumstances) -> str:
    config = data.manifest.config
    views = len(data.rig.cameras)
    text = (
        f"n = {n} samples of seed {data.manifest.seed}: states {config['states']}, "
        f"renderer {config['renderer']}, object {data.manifest.object}; the estimator knows the "
        f"nominal cameras only. {views} view{'s' * (views > 1)} to one pose: "
        f"{np.median(about.latency_ms):.1f} ms (median of {len(about.latency_ms)}; 99 % within "
        f"{np.percentile(about.latency_ms, 99):.1f} ms) with {cores()} cores."
    )
    if about.chosen_by:
        text += (
            " **The estimator was chosen by this data and its uncertainty scaled on it:** errors "
            "on data of another seed are a little larger, and 90 % regions hold 90 % here by "
            "construction."
        )
    return text


def _numbers(report: HtmlReport, p: Predictions, metrics: dict[str, Any]) -> None:
    report.table(
        ["error", "mean", "95 % interval of the mean", "median", "p90", "p95", "p99", "max"],
        [
            _row("rotation (°)", p.rotation_error_deg, metrics["rotation_error_deg"]),
            _row("position (mm)", p.position_error_mm, metrics["position_error_mm"]),
        ],
    )
    report.table(
        ["mean error along or about (hand frame)", "x", "y", "z"],
        [
            [name, *(metrics[key][axis] for axis in "xyz")]
            for name, key in (
                ("rotation (°)", "rotation_error_deg"), ("position (mm)", "position_error_mm"),
            )
        ],
    )  # fmt: skip
    shares = [(f"within {name.replace('_', ', ')}", inside) for name, inside in within(p).items()]
    position, rotation = (squares <= CHI2_90_3 for squares in squared_distances(p))
    shares += [("position in its 90 % region", position), ("rotation in its 90 % region", rotation)]
    report.table(
        ["samples", "share", "95 % interval"],
        [[name, f"{inside.mean():.1%}", _interval(inside, ".1%")] for name, inside in shares],
    )
    report.text(f"ADD AUC to 0.1 m: {metrics['add_auc']:.4f}.")


def _row(name: str, values: Array, summary: dict[str, float]) -> list[Any]:
    ends = [summary[key] for key in ("median", "p90", "p95", "p99", "max")]
    return [name, summary["mean"], _interval(values, ".3f"), *ends]


def _interval(values: Array | NDArray[np.bool_], form: str) -> str:
    low, high = bootstrap_interval(values)
    return f"{low:{form}} to {high:{form}}"


def _distributions(angle: Array, distance: Array) -> Figure:
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    share = np.arange(1, len(angle) + 1) / len(angle)
    for axes, values, label in zip(
        figure.subplots(1, 2, sharey=True),
        (angle, distance),
        ("rotation error (°)", "position error (mm)"),
        strict=True,
    ):
        axes.plot(np.sort(values), share)
        axes.set_xlabel(label)
        axes.set_xlim(0, max(np.percentile(values, 98), 1e-3))
        axes.set_ylim(0, 1)
        axes.grid(alpha=0.3)
    return figure


def _against_visibility(p: Predictions) -> Figure:
    """Mean errors with their 95 % intervals, in the bins of `metrics.json`."""
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    number = visible_bin(p.visible_fraction.mean(axis=1))
    bins = np.unique(number)
    names = [f"{k / VISIBLE_BINS:.0%}\nn = {np.sum(number == k)}" for k in bins]
    for axes, values, label in zip(
        figure.subplots(1, 2),
        (p.rotation_error_deg, p.position_error_mm),
        ("mean rotation error (°)", "mean position error (mm)"),
        strict=True,
    ):
        means = np.array([values[number == k].mean() for k in bins])
        ends = np.array([bootstrap_interval(values[number == k]) for k in bins])
        axes.bar(names, means, yerr=np.abs(ends.T - means), capsize=3)
        axes.tick_params(labelsize=7)
        axes.set_xlabel(f"visible, mean of the views: this and up to {1 / VISIBLE_BINS:.0%} more")
        axes.set_ylabel(label)
    return figure


def _calibration(p: Predictions) -> Figure:
    from scipy.stats import chi2

    figure = Figure(figsize=(4.2, 4), layout="constrained")
    axes = figure.subplots()
    nominal = np.linspace(0.02, 0.98, 49)
    limits = chi2.ppf(nominal, 3)
    for squares, name in zip(squared_distances(p), ("position", "rotation"), strict=True):
        axes.plot(nominal, (squares[:, None] <= limits).mean(axis=0), label=name)
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    axes.set_xlabel("predicted share")
    axes.set_ylabel("share found")
    axes.legend()
    return figure


def _wrong_faces(p: Predictions, metrics: dict[str, Any], alike: Array) -> str:
    wrong = float(np.mean(nearest_symmetry(p.quaternion, p.true_quaternion, alike) != 0))
    return (
        f"**Wrong face or slightly off?** {wrong:.2%} of the samples are nearer to another of the "
        f"bare solid's {len(alike)} orientations than to the true one. "
        "With all faces taken as alike the mean rotation "
        f"error would be {metrics['rotation_error_deg_symmetric']['mean']:.2f}°."
    )


def _confusion(p: Predictions, alike: Array) -> Figure:
    """Samples by the turn of the solid that lies nearest to their error, the true one first."""
    nearest = nearest_symmetry(p.quaternion, p.true_quaternion, alike)
    counts = np.bincount(nearest, minlength=len(alike))
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    axes = figure.subplots()
    bars = axes.bar(range(len(counts)), counts)
    axes.bar_label(bars, fontsize=7)
    axes.set_yscale("symlog")
    axes.set_ylim(0, 3 * len(nearest))
    axes.set_xticks(range(len(counts)), [_turn_name(q) for q in alike], rotation=90)
    axes.set_ylabel("samples")
    return figure


def _turn_name(quat: Array) -> str:
    """A rotation in words: degrees, and the axis in the object's frame."""
    angle = 2 * np.arccos(np.clip(quat[0], -1, 1))
    if angle < 1e-6:
        return "none"
    axis = quat[1:] / np.abs(quat[1:]).max()
    if np.abs(axis - axis.round()).max() > 0.01:
        return f"{np.rad2deg(angle):.0f}° ({', '.join(f'{part:.1f}' for part in axis)})"
    axis, signs = axis.round().astype(int), {-1: "−", 1: ""}
    names = [signs[sign] + name for sign, name in zip(axis, "xyz", strict=True) if sign]
    return f"{np.rad2deg(angle):.0f}° {' '.join(names)}"
