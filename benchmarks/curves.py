"""The long curves as an HTML page with a plot for each."""

from collections import defaultdict
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from opendactyl.benchmarks.measure import Row
from opendactyl.core.html_report import HtmlReport


def write_page(rows: list[Row], machine: dict[str, Any], path: Path) -> None:
    """Writes all rows as a table, and rows named `suite/what_NUMBER` as curves over the number."""
    report = HtmlReport("Benchmarks")
    report.text(
        "Every ratio was taken in one run, side by side; above 1 means that ours is better. "
        f"Machine: {machine['cores']} cores, {machine['processor']}, "
        f"{machine['instruction_set']}."
    )
    report.table(
        ["row", "ours", "peer", "unit", "ratio", "peer is"],
        [[r.name, r.ours, r.peer, r.unit, r.ratio, r.peer_name] for r in rows],
    )
    for name, curve in group_curves(rows).items():
        report.figure(_plot(name, curve), name)
    report.write(path)


def group_curves(rows: list[Row]) -> dict[str, dict[int, Row]]:
    """Rows by the name of their parameter, then by its value in rising order."""
    curves: dict[str, dict[int, Row]] = defaultdict(dict)
    for row in rows:
        name, _, value = row.name.rpartition("_")
        if name and value.isdigit():
            curves[name][int(value)] = row
    return {name: dict(sorted(points.items())) for name, points in curves.items()}


def _plot(name: str, curve: dict[int, Row]) -> Figure:
    figure = Figure(figsize=(6, 3.2), layout="constrained")
    axes = figure.subplots()
    rows = list(curve.values())
    axes.plot(list(curve), [row.ours for row in rows], "o-", label="ours")
    axes.plot(list(curve), [row.peer for row in rows], "s--", label="peer")
    axes.set_xlabel(name.rpartition("/")[2].replace("_", " "))
    axes.set_ylabel(rows[0].unit)
    axes.set_ylim(bottom=0)
    axes.legend()
    return figure
