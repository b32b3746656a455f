"""The report of an evaluation, with the table Dactyl printed and ours beside it."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from opendactyl.files.page import Page
from opendactyl.policy.tasks import MAX_GOALS

# D18 Table 3, simulation, 100 trials each: mean, deviation, median.
DACTYL = {"sim": (43.4, 13.8, 50.0), "vision": (30.0, 10.3, 33.0)}


def write_report(path: Path, results: dict[str, Any], config: dict[str, Any]) -> None:
    """Writes `report.html`."""
    goals = results["consecutive_successes"]
    theirs = DACTYL[config["pose"]]
    page = Page(f"Consecutive goals: {results['task']}, pose from {config['pose']}")
    page.text(
        f"n = {results['n']} episodes of seed {config['seed']}, each run to its end: {MAX_GOALS} "
        f"goals, a drop, or {config['seconds_per_goal']:.0f} s without a goal."
    )
    page.table(
        ["system", "mean", "std", "median"],
        [
            ["this bundle", goals["mean"], goals["std"], goals["median"]],
            [f"Dactyl, block, {config['pose']} (D18 Table 3; its own goals)", *theirs],
        ],
    )
    page.table(
        ["how episodes ended", "episodes"],
        [[name, results[name]] for name in ("finished", "drops", "timeouts", "diverged")],
    )
    seconds = results["seconds_per_success"]
    page.text(
        ("No goal was reached. " if seconds is None else f"{seconds:.2f} s a goal. ")
        + f"Pose error in the loop: {results['rotation_error_deg_in_loop']:.2f}°, "
        f"{results['position_error_mm_in_loop']:.2f} mm."
    )
    page.figure(_histogram(goals["values"]), "Goals reached in an episode.")
    page.write(path)


def _histogram(values: list[int]) -> Figure:
    figure = Figure(figsize=(7, 3), layout="constrained")
    axes = figure.subplots()
    axes.hist(values, bins=(np.arange(MAX_GOALS + 2) - 0.5).tolist())
    axes.set_xlabel("consecutive goals")
    axes.set_ylabel("episodes")
    return figure
