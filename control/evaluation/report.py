"""The HTML report of an evaluation, beside the results that Dactyl published."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from opendactyl.control.bundle.manifest import source_name
from opendactyl.core.html_report import HtmlReport
from opendactyl.policy.interface.tasks import MAX_GOALS

# D18 Table 3, simulation, 100 trials each: mean, deviation, median.
DACTYL = {"sim": (43.4, 13.8, 50.0), "vision": (30.0, 10.3, 33.0)}
_ERROR = ("n", "rotation_error_deg", "position_error_mm")


def write_report(path: Path, results: dict[str, Any], config: dict[str, Any]) -> None:
    """Writes `report.html`."""
    goals = results["consecutive_successes"]
    pose = source_name(config)
    report = HtmlReport(f"Consecutive goals: {results['task']}, pose from {pose}")
    report.text(
        f"n = {results['n']} episodes of seed {config['seed']}. An episode ends after {MAX_GOALS} "
        f"goals, a drop, or {config['seconds_per_goal']:.0f} s without a goal."
    )
    low, high = results["mean_interval_95"]
    rows: list[list[Any]] = [
        [_name(results, config, pose), results["n"], goals["mean"], goals["std"], goals["median"]],
        *_paired_row(results),
        *([f"Dactyl, block, {name} (D18 Table 3)", 100, *row] for name, row in DACTYL.items()),
    ]
    report.table(["system", "n", "mean", "std", "median"], rows)
    report.text(
        f"95 % bootstrap interval of the mean: {low:.1f} to {high:.1f}. Dactyl's results are in "
        "simulation with randomized physics; the paper does not state how their goals were drawn."
    )
    if "rotations" in results:
        turned = results["rotations"]
        report.text(
            f"Faces turned per episode: {turned['mean']:.1f} ± {turned['std']:.1f}, median "
            f"{turned['median']:g} (arXiv 1910.07113, face cube on the robot: 14.3 ± 6.6)."
        )
    _comparison(report, results, config)
    report.table(
        ["outcome", "episodes"],
        [[name, results[name]] for name in ("finished", "drops", "timeouts", "diverged")],
    )
    seconds = results["seconds_per_success"]
    report.text("No goal was reached." if seconds is None else f"{seconds:.2f} s per goal.")
    report.figure(_histogram(goals["values"]), "Goals reached per episode.")
    _errors(report, results)
    report.write(path)


def _name(results: dict[str, Any], config: dict[str, Any], pose: str) -> str:
    return f"this bundle, {results['task']}, {pose}, randomization {config['randomization']}"


def _paired_row(results: dict[str, Any]) -> list[list[Any]]:
    """The row of the evaluation compared with, on the same episodes."""
    against = results.get("against")
    if against is None:
        return []
    theirs = against["theirs"]
    name = f"this bundle, {against['pose']}, the same episodes"
    return [[name, against["n"], theirs["mean"], theirs["std"], theirs["median"]]]


def _comparison(report: HtmlReport, results: dict[str, Any], config: dict[str, Any]) -> None:
    """The ratio of this evaluation to the other, and Dactyl's ratio of vision to simulator."""
    rows: list[list[Any]] = []
    against = results.get("against")
    if against is not None:
        name = f"this bundle, {source_name(config)} to {against['pose']}"
        bounds = against["interval_95"] or (None, None)
        rows = [[name, against["n"], against["ratio"], *bounds]]
    theirs = DACTYL["vision"][0] / DACTYL["sim"][0]
    rows.append(["Dactyl, vision to sim", 100, theirs, None, None])
    report.table(["ratio of means", "n", "ratio", "from", "to (95 %)"], rows)
    if against is None:
        report.text(
            "`evaluate --pose vision --against FOLDER`, with the folder of `--pose sim`, adds the "
            "ratio of the two on the same episodes."
        )


def _errors(report: HtmlReport, results: dict[str, Any]) -> None:
    """Pose errors in the loop and on single samples, and both by visible fraction."""
    report.heading("Pose error")
    offline = results.get("offline") or {}
    rows: list[list[Any]] = [
        ["in the loop", results["actions"], results["rotation_error_deg_in_loop"],
         results["position_error_mm_in_loop"]]
    ]  # fmt: skip
    if offline:
        name = f"single samples: {offline['samples']}"
        rows.append([name, *(offline[key] for key in _ERROR)])
    report.table(["means", "n", "rotation (deg)", "position (mm)"], rows)
    report.text(
        f"{results['actions_without_pose']} of {results['actions']} actions had no new pose."
    )
    samples = {row["visible_from"]: row for row in offline.get("by_visibility", [])}
    loop = {row["visible_from"]: row for row in results["by_visibility"]}
    rows = []
    for low in sorted(loop | samples):
        high = (loop | samples)[low]["visible_to"]
        cells = [table.get(low, {}).get(key) for table in (loop, samples) for key in _ERROR]
        rows.append([f"{low:.0%} to {high:.0%}", *cells])
    header = [f"{where}: {what}" for where in ("loop", "samples") for what in ("n", "deg", "mm")]
    report.table(["visible fraction of the object", *header], rows)
    report.text(
        "Visible fraction: mean over the cameras; in the loop it is measured every few actions."
    )


def _histogram(values: list[int]) -> Figure:
    figure = Figure(figsize=(7, 3), layout="constrained")
    axes = figure.subplots()
    axes.hist(values, bins=(np.arange(MAX_GOALS + 2) - 0.5).tolist())
    axes.set_xlabel("consecutive goals")
    axes.set_ylabel("episodes")
    return figure
