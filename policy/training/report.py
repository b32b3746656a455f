"""The HTML report of a training run: results, curves and settings."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from opendactyl.core.atomic_files import read_json
from opendactyl.core.html_report import HtmlReport
from opendactyl.core.optional_files import exists
from opendactyl.core.run_dir import CONFIG_NAME
from opendactyl.geometry.rotation import Array
from opendactyl.policy.training.metrics_log import ADR_FILE, ADR_SCORES_FILE, METRICS_FILE

CURVES = (
    ("goals", "goals per episode, with sampled actions"),
    ("examined_goals", "goals per episode, in evaluations"),
    ("dropped", "fraction of the ended episodes that were drops"),
    ("loss", "error of the velocities"),
    ("entropy", "entropy of the policy"),
    ("kl", "KL divergence of an update"),
    ("max_angle", "largest angle to a new goal (rad)"),
    ("strength", "largest strength of the randomization"),
    ("adr_entropy", "entropy of the ranges (nats per dimension)"),
    ("actions_per_s", "actions/s, optimisation included"),
)
"""Columns of `metrics.csv` to plot, and their titles."""
PLOTS_PER_ROW = 2


def write_report(run: Path) -> None:
    """Writes `report/report.html` of a run, unless its `metrics.csv` is missing or empty."""
    if not exists(run / METRICS_FILE):
        return
    with (run / METRICS_FILE).open(newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        return
    config = read_json(run / CONFIG_NAME)
    last = rows[-1]
    report = HtmlReport(f"Policy training: {config['task']}")
    report.text(
        f"{int(last['actions']):,} actions of {config['num_envs']} simulations in "
        f"{float(last['seconds']) / 60:.1f} minutes, physics `{config['randomization']}`. "
        f"{_evaluations(rows)}"
    )
    report.figure(_curves(rows), "Against minutes of training; one colour per stage.")
    if exists(run / ADR_FILE):
        report.figure(_bounds(run / ADR_FILE), "Extents of the ranges; at 1 they are the preset's.")
    if exists(run / ADR_SCORES_FILE):
        report.figure(_bounds(run / ADR_SCORES_FILE), "Mean score in the buffer of each bound.")
    report.heading("Settings")
    report.table(["setting", "value"], [[k, str(v)] for k, v in config.items()])
    report.write(run / "report" / "report.html")


def _evaluations(rows: list[dict[str, Any]]) -> str:
    evaluated = [row for row in rows if row["examined_goals"]]
    if not evaluated or evaluated[-1]["stage"] != rows[-1]["stage"]:
        when = "in the last stage" if evaluated else "run"
        return f"No evaluation was {when}: the last policy is kept as the best."
    goals = [float(row["examined_goals"]) for row in evaluated]
    return (
        f"The best of {len(goals)} evaluations gave **{max(goals):.1f} consecutive goals** per "
        "episode. The policy was selected by it, so measure it with `opendactyl evaluate`, on "
        "episodes of another seed."
    )


def _curves(rows: list[dict[str, Any]]) -> Figure:
    minutes = _column(rows, "seconds") / 60
    stages = np.array([row["stage"] for row in rows])
    curves = [(n, title) for n, title in CURVES if n in rows[0] and any(row[n] for row in rows)]
    lines = -(-len(curves) // PLOTS_PER_ROW)
    figure = Figure(figsize=(9, 1.9 * lines), layout="constrained")
    for number, (name, title) in enumerate(curves):
        axes = figure.add_subplot(lines, PLOTS_PER_ROW, number + 1)
        values = _column(rows, name)
        for stage in dict.fromkeys(stages):
            rows_of_stage = (stages == stage) & np.isfinite(values)
            axes.plot(
                minutes[rows_of_stage], values[rows_of_stage], ".-", markersize=3, label=stage
            )
        axes.set_title(title, fontsize=9)
        axes.grid(alpha=0.3)
        if number == 0:
            axes.legend(fontsize=8)
    return figure


def _bounds(path: Path) -> Figure:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.add_subplot()
    actions = _column(rows, "actions")
    for name in [key for key in rows[0] if key != "actions"]:
        style = "--" if name.endswith("/low") else "-"
        axes.step(actions, _column(rows, name), style, where="post", label=name)
    axes.set_xlabel("actions")
    axes.legend(fontsize=6, ncols=2)
    axes.grid(alpha=0.3)
    return figure


def _column(rows: list[dict[str, Any]], name: str) -> Array:
    """A column as numbers; NaN where it is empty."""
    return np.array([float(row[name] or "nan") for row in rows])
