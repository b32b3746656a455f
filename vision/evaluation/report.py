"""The HTML report of an evaluation."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from opendactyl.core.cpu import cores
from opendactyl.core.html_report import HtmlReport
from opendactyl.datasets.foreign.samples import ForeignManifest
from opendactyl.datasets.format.manifest import Manifest
from opendactyl.datasets.loading.augmentation_config import PROBABILITIES, AugmentConfig
from opendactyl.geometry.rotation import Array
from opendactyl.geometry.symmetry import nearest_symmetry, rotation_name, rotations_of
from opendactyl.vision.measures.bop_errors import IMAGE_WIDTH
from opendactyl.vision.measures.gallery import draw_worst
from opendactyl.vision.measures.metrics import (
    CHI2_90_3,
    VISIBLE_BINS,
    bootstrap_interval,
    inside_axes,
    inside_hinges,
    squared_distances,
    visible_bin,
    within_thresholds,
)
from opendactyl.vision.measures.predictions import Data, Predictions

WORST = 24


@dataclass(frozen=True)
class ReportContext:
    """Facts about an evaluation that the estimates do not contain."""

    latency_ms: list[float]
    """Times of single estimates, in milliseconds."""
    chosen_by: bool
    """Whether the data chose the checkpoint and calibrated its covariance."""
    augment: AugmentConfig
    """The effects that were added to the images."""


def write_report(
    path: Path,
    p: Predictions,
    metrics: dict[str, Any],
    data: Data,
    context: ReportContext,
) -> None:
    """Writes `report.html`: errors with intervals, distributions, and the worst samples."""
    report = HtmlReport("Pose estimation report")
    report.text(_heading(metrics["n"], data, context))
    _numbers(report, p, metrics)
    report.figure(_distributions(p), "Fraction of samples below an error.")
    if metrics["by_visibility"]:
        report.figure(_against_visibility(p), "Error by the visible fraction of the object.")
    report.figure(_calibration(p), "Fraction of true poses inside the predicted regions.")
    corners = data.manifest.keypoints[: data.manifest.num_corners]
    symmetries = rotations_of(corners[data.manifest.articulation.own])
    report.text(_face_confusion(p, metrics, symmetries))
    report.figure(_confusion(p, symmetries), "Symmetry of the solid that the error is nearest to.")
    report.image(
        draw_worst(p, data, WORST), f"The {WORST} worst rotations: true axes thin, estimated thick."
    )
    report.write(path)


def _heading(n: int, data: Data, context: ReportContext) -> str:
    views = len(data.rig.cameras)
    text = (
        f"n = {n} samples {_origin(data.manifest)}. One pose from {views} view{'s' * (views > 1)}: "
        f"{np.median(context.latency_ms):.1f} ms (median of {len(context.latency_ms)}; 99 % within "
        f"{np.percentile(context.latency_ms, 99):.1f} ms) with {cores()} cores."
    )
    if not data.manifest.load_symmetry().is_trivial:
        text += (
            " The object is symmetric: errors are to the nearest equivalent orientation (about an "
            "axis of revolution, they are the angle between the axes)."
        )
    used = ((name, getattr(context.augment, name)) for name in PROBABILITIES)
    if effects := ", ".join(f"{name} {value:.0%}" for name, value in used if value):
        text += f" Effects were added to the images: {effects}."
    if context.chosen_by:
        text += (
            " **This data chose the checkpoint and calibrated its covariance:** errors on data of "
            "another seed are a little larger, and 90 % regions contain 90 % here by construction."
        )
    return text


def _origin(manifest: Manifest | ForeignManifest) -> str:
    """The data in words, and the cameras that the estimator is given."""
    if isinstance(manifest, ForeignManifest):
        return f"of {manifest.name}; the estimator uses the cameras that the data states"
    config = manifest.config
    return (
        f"of seed {manifest.seed}: states {config['states']}, renderer {config['renderer']}, "
        f"object {manifest.object}; the estimator uses the nominal cameras"
    )


def _numbers(report: HtmlReport, p: Predictions, metrics: dict[str, Any]) -> None:
    report.table(
        ["error", "mean", "95 % interval of the mean", "median", "p90", "p95", "p99", "max"],
        [
            _row("rotation (°)", p.rotation_error_deg, metrics["rotation_error_deg"]),
            _row("position (mm)", p.position_error_mm, metrics["position_error_mm"]),
            *_hinge_rows(p, metrics),
        ],
    )
    report.table(
        ["mean error along or about (frame of the poses)", "x", "y", "z"],
        [
            [name, *(metrics[key][axis] for axis in "xyz")]
            for name, key in (
                ("rotation (°)", "rotation_error_deg"), ("position (mm)", "position_error_mm"),
            )
        ],
    )  # fmt: skip
    report.table(
        ["samples", "fraction", "95 % interval"],
        [[name, f"{i.mean():.1%}", _interval(i, ".1%")] for name, i in _fractions(p).items()],
    )
    report.text(
        f"ADD AUC to 0.1 m: {metrics['add_auc']:.4f}. MSSD {metrics['mssd_mm']['mean']:.2f} mm "
        f"(BOP's average recall {metrics['mssd_recall']:.3f}), MSPD "
        f"{metrics['mspd_px']['mean']:.2f} pixels of images {IMAGE_WIDTH} pixels wide "
        f"({metrics['mspd_recall']:.3f})."
    )


def _hinge_rows(p: Predictions, metrics: dict[str, Any]) -> list[list[Any]]:
    if p.hinges is None:
        return []
    return [
        _row(f"hinge {name} (°)", values, metrics["hinge_error_deg"][name])
        for name, values in zip(p.hinges.names, p.hinges.error_deg.T, strict=True)
    ]


def _fractions(p: Predictions) -> dict[str, NDArray[np.bool_]]:
    """Criteria in words, and the samples (N,) that satisfy each."""
    rows = {f"within {name.replace('_', ', ')}": i for name, i in within_thresholds(p).items()}
    for name, squares in zip(("position", "rotation"), squared_distances(p), strict=True):
        rows[f"{name} in its 90 % region"] = squares <= CHI2_90_3
    axes = (f"{name} {axis}" for name in ("position", "rotation") for axis in "xyz")
    columns = list(zip(axes, inside_axes(p).T, strict=True))
    if p.hinges is not None:
        names = (f"hinge {name}" for name in p.hinges.names)
        columns += zip(names, inside_hinges(p.hinges).T, strict=True)
    return rows | {f"{name} in its 90 % interval": inside for name, inside in columns}


def _row(name: str, values: Array, summary: dict[str, float]) -> list[Any]:
    ends = [summary[key] for key in ("median", "p90", "p95", "p99", "max")]
    return [name, summary["mean"], _interval(values, ".3f"), *ends]


def _interval(values: Array | NDArray[np.bool_], form: str) -> str:
    low, high = bootstrap_interval(values)
    return f"{low:{form}} to {high:{form}}"


def _distributions(p: Predictions) -> Figure:
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    fraction = np.arange(1, len(p.position) + 1) / len(p.position)
    for axes, values, label in zip(
        figure.subplots(1, 2, sharey=True),
        (p.rotation_error_deg, p.position_error_mm),
        ("rotation error (°)", "position error (mm)"),
        strict=True,
    ):
        axes.plot(np.sort(values), fraction)
        axes.set_xlabel(label)
        axes.set_xlim(0, max(np.percentile(values, 98), 1e-3))
        axes.set_ylim(0, 1)
        axes.grid(alpha=0.3)
    return figure


def _against_visibility(p: Predictions) -> Figure:
    """Mean errors with 95 % intervals, in the bins of `metrics.json`."""
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    visible = p.visible_fraction.mean(axis=1)
    number = visible_bin(visible[known := np.isfinite(visible)])
    bins = np.unique(number)
    names = [f"{k / VISIBLE_BINS:.0%}\nn = {np.sum(number == k)}" for k in bins]
    for axes, values, label in zip(
        figure.subplots(1, 2),
        (p.rotation_error_deg[known], p.position_error_mm[known]),
        ("mean rotation error (°)", "mean position error (mm)"),
        strict=True,
    ):
        means = np.array([values[number == k].mean() for k in bins])
        ends = np.array([bootstrap_interval(values[number == k]) for k in bins])
        axes.bar(names, means, yerr=np.abs(ends.T - means), capsize=3)
        axes.tick_params(labelsize=7)
        axes.set_xlabel(f"visible fraction, mean over views (bins of {1 / VISIBLE_BINS:.0%})")
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
    axes.set_xlabel("nominal coverage")
    axes.set_ylabel("observed coverage")
    axes.legend()
    return figure


def _face_confusion(p: Predictions, metrics: dict[str, Any], symmetries: Array) -> str:
    wrong = float(np.mean(nearest_symmetry(p.quaternion, p.true_quaternion, symmetries) != 0))
    return (
        f"**Confused faces:** {wrong:.2%} of the estimates are nearer to another of the solid's "
        f"{len(symmetries)} symmetric orientations than to the true one. Up to these symmetries, "
        "the mean rotation error is "
        f"{metrics['rotation_error_deg_symmetric']['mean']:.2f}°."
    )


def _confusion(p: Predictions, symmetries: Array) -> Figure:
    """Samples by the symmetry of the solid that is nearest to their error; the identity first."""
    nearest = nearest_symmetry(p.quaternion, p.true_quaternion, symmetries)
    counts = np.bincount(nearest, minlength=len(symmetries))
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    axes = figure.subplots()
    bars = axes.bar(range(len(counts)), counts)
    axes.bar_label(bars, fontsize=7)
    axes.set_yscale("symlog")
    axes.set_ylim(0, 3 * len(nearest))
    axes.set_xticks(range(len(counts)), [rotation_name(q) for q in symmetries], rotation=90)
    axes.set_ylabel("samples")
    return figure
