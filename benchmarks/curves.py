"""The long curves as a page with a plot for each."""

from collections import defaultdict
from pathlib import Path

from matplotlib.figure import Figure

from opendactyl.benchmarks.measure import Row
from opendactyl.core.html_report import HtmlReport


def write_page(rows: list[Row], path: Path) -> None:
    """Writes all rows as a table, and rows named `suite/what_NUMBER` as curves over the number."""
    report = HtmlReport("Benchmarks")
    report.text(
        "Every ratio was taken in one run, side by side; above 1 means that ours is better."
    )
    report.table(
        ["row", "ours", "peer", "unit", "ratio", "peer is"],
        [[r.name, r.ours, r.peer, r.unit, r.ratio, r.peer_name] for r in rows],
    )
    for name, curve in group_curves(rows).items():
        report.figure(_plot(name, curve), name)
    report.write(path)


def group_curves(rows: list[Row]) -> dict[str, dict[int, Row]]:
    """Rows by what they vary, then by its value in rising order."""
    curves: dict[str, dict[int, Row]] = defaultdict(dict)
    for row in rows:
        what, _, value = row.name.rpartition("_")
        if what and value.isdigit():
            curves[what][int(value)] = row
    return {what: dict(sorted(points.items())) for what, points in curves.items()}


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
