"""How long a policy's memory matters: goals when it is reset every few actions.

    python -P -m opendactyl.benchmarks.studies.wipe --policy pretrained/spin

Many hands act in the same episodes with a memory that is reset every 1, 4, 16 and 50 actions, and
never. Where the curve becomes flat, the memory uses no older observations.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

from opendactyl.benchmarks.support.figure_file import save_figure
from opendactyl.benchmarks.support.roll_out import RollOut, RollOutConfig, roll_out
from opendactyl.benchmarks.support.study import prepare_gl, run_study
from opendactyl.core.atomic_files import write_json, write_text
from opendactyl.core.errors import InputError
from opendactyl.core.run_dir import to_plain
from opendactyl.sim.timing import CONTROL_PERIOD
from opendactyl.vision.measures.metrics import bootstrap_interval


@dataclass(frozen=True, kw_only=True)
class WipeConfig(RollOutConfig):
    """Settings of the comparison."""

    every: tuple[int, ...] = (1, 4, 16, 50)
    """Actions between two resets; a row without resets is added."""
    out: Path = Path("runs/wipe")
    """Folder for table.md, results.json and wipe.png."""

    def __post_init__(self) -> None:
        """Raises an `InputError` for values out of range."""
        super().__post_init__()
        if min(self.every, default=1) < 1:
            raise InputError("--every must be at least 1")


def run(config: WipeConfig) -> list[dict[str, Any]]:
    """Measures every row and writes table, results and plot.

    Raises:
        InputError: the policy or the ranges cannot be read.
    """
    policy, environment = config.load()
    rows = [
        _row(every, roll_out(policy, environment, config.hands, config.actions, wipe_every=every))
        for every in tqdm((*config.every, 0), unit="row")
    ]
    settings = to_plain(config) | {"task": environment.task}
    write_json(config.out / "results.json", {"settings": settings, "rows": rows})
    write_text(config.out / "table.md", make_table(rows))
    save_figure(plot(rows), config.out / "wipe.png")
    return rows


def _row(every: int, done: RollOut) -> dict[str, Any]:
    """Goals per 100 actions with an interval that resamples hands; `every` is None for never."""
    rates = 100 * done.goals / done.actions
    return {
        "every": every or None,
        "goals_per_100_actions": float(rates.mean()),
        "interval_95": list(bootstrap_interval(rates)),
        "drops_per_1000_actions": float(1000 * done.drops.mean() / done.actions),
    }


def make_table(rows: list[dict[str, Any]]) -> str:
    """A Markdown table."""
    lines = [
        "| memory reset every | goals per 100 actions | 95 % interval | drops per 1,000 |",
        "|---|---|---|---|",
    ]
    for row in rows:
        low, high = row["interval_95"]
        lines.append(
            f"| {_label(row)} | {row['goals_per_100_actions']:.2f} | {low:.2f} to {high:.2f} | "
            f"{row['drops_per_1000_actions']:.2f} |"
        )
    return "\n".join(lines) + "\n"


def _label(row: dict[str, Any]) -> str:
    every = row["every"]
    return "never" if every is None else f"{every} ({every * CONTROL_PERIOD:.2g} s)"


def plot(rows: list[dict[str, Any]]) -> Figure:
    """Goals over the time between resets."""
    figure = Figure(figsize=(6, 3.2), layout="constrained")
    axes = figure.subplots()
    means = np.array([row["goals_per_100_actions"] for row in rows])
    low, high = np.array([row["interval_95"] for row in rows]).T
    errors = np.maximum([means - low, high - means], 0)
    axes.errorbar(range(len(rows)), means, errors, fmt="o-", capsize=3)
    axes.set_xticks(range(len(rows)), [_label(row) for row in rows])
    axes.set_xlabel("actions between resets of the memory")
    axes.set_ylabel("goals per 100 actions")
    axes.set_ylim(bottom=0)
    return figure


if __name__ == "__main__":
    prepare_gl(renders=False)
    run_study("wipe", __doc__, WipeConfig, lambda config: make_table(run(config)))
