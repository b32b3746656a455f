"""The report of a training, for people: what it came to, and its curves."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from opendactyl.core.atomic_files import read_json
from opendactyl.core.html_report import HtmlReport
from opendactyl.core.run_dir import CONFIG_NAME
from opendactyl.geometry.rotation import Array

CURVES = (
    ("goals", "goals an episode, while it explores"),
    ("examined_goals", "goals an episode, when examined"),
    ("dropped", "share of the ended episodes that were dropped"),
    ("entropy", "entropy of the policy"),
    ("kl", "change of the policy by an update (KL divergence)"),
    ("actions_per_s", "actions/s, optimisation included"),
)
"""Columns of `metrics.csv` that are drawn, and what they are."""
ACROSS = 2


def write_report(run: Path) -> None:
    """Writes `report/report.html` of a run, if its `metrics.csv` has anything to say."""
    if not (run / "metrics.csv").exists():
        return
    with (run / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        return
    config = read_json(run / CONFIG_NAME)
    last = rows[-1]
    report = HtmlReport(f"Policy training: {config['task']}")
    report.text(
        f"{int(last['actions']):,} actions of {config['num_envs']} simulations in "
        f"{float(last['seconds']) / 60:.1f} minutes, physics `{config['randomization']}`. "
        f"{_examined(rows)}"
    )
    report.figure(_curves(rows), "Over minutes of training; a colour for each stage.")
    report.heading("Settings")
    report.table(["setting", "value"], [[k, str(v)] for k, v in config.items()])
    report.write(run / "report" / "report.html")


def _examined(rows: list[dict[str, Any]]) -> str:
    goals = [float(row["examined_goals"]) for row in rows if row["examined_goals"]]
    if not goals:
        return "It was not examined: the last policy counts as the best."
    return (
        f"The best of {len(goals)} examinations counted **{max(goals):.1f} consecutive goals** an "
        "episode; a policy was chosen by it, so `opendactyl evaluate`, on episodes of another "
        "seed, says how good it is."
    )


def _curves(rows: list[dict[str, Any]]) -> Figure:
    figure = Figure(figsize=(9, 7.5), layout="constrained")
    minutes = _column(rows, "seconds") / 60
    stages = np.array([row["stage"] for row in rows])
    for number, (name, what) in enumerate(CURVES):
        axes = figure.add_subplot(-(-len(CURVES) // ACROSS), ACROSS, number + 1)
        values = _column(rows, name)
        for stage in dict.fromkeys(stages):
            known = (stages == stage) & np.isfinite(values)
            axes.plot(minutes[known], values[known], ".-", markersize=3, label=stage)
        axes.set_title(what, fontsize=9)
        axes.grid(alpha=0.3)
        if number == 0:
            axes.legend(fontsize=8)
    return figure


def _column(rows: list[dict[str, Any]], name: str) -> Array:
    """A column as numbers; nan where it is empty."""
    return np.array([float(row[name] or "nan") for row in rows])
