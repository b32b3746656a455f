"""Runs suites and keeps what they found, in a file and as a table."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from opendactyl.benchmarks.curves import write_page
from opendactyl.benchmarks.machine import describe_machine
from opendactyl.benchmarks.measure import Budget, Row
from opendactyl.core.atomic_files import write_json
from opendactyl.core.errors import InputError

SUITES = ("render", "env", "vision", "policy", "loop")
HEADERS = ("row", "ours", "peer", "unit", "ratio")


def run_suites(
    names: tuple[str, ...], budget: Budget, out: Path, say: Callable[[str], None]
) -> dict[str, Any]:
    """Runs suites one after the other; after each, `out` holds everything measured so far.

    With the long curves comes a page with their plots, beside `out`.

    Args:
        names: keys of `SUITES`.
        budget: how much time each may take.
        out: the JSON file to write, which must not exist.
        say: called with the name of each suite that starts, and with each finished table.

    Raises:
        InputError: `out` exists, or there is no such suite.
    """
    unknown = [name for name in names if name not in SUITES]
    if unknown:
        raise InputError(f"no suite {unknown[0]!r}; the suites are {', '.join(SUITES)}, all")
    if out.exists():
        raise InputError(f"{out} exists; name another file with --out, or delete it first")
    result: dict[str, Any] = {"machine": describe_machine(), "rows": []}
    measured: list[Row] = []
    for name in names:
        say(f"suite {name} …")
        rows: list[Row] = import_module(f"opendactyl.benchmarks.suites.{name}").run(budget)
        measured += rows
        result["rows"] = [row.to_dict() for row in measured]
        write_json(out, result)
        say(table(rows))
    if budget.full:
        write_page(measured, out.with_suffix(".html"))
    return result


def table(rows: list[Row]) -> str:
    """Rows as aligned text; what each is compared with follows below."""
    cells = [
        (row.name, f"{row.ours:,.1f}", f"{row.peer:,.1f}", row.unit, f"{row.ratio:.2f}")
        for row in rows
    ]
    widths = [max(len(line[i]) for line in [HEADERS, *cells]) for i in range(len(HEADERS))]
    lines = [_line(HEADERS, widths), "-" * (sum(widths) + 2 * len(widths) - 2)]
    lines += [_line(line, widths) for line in cells]
    lines += [f"{row.name}: peer is {row.peer_name}" for row in rows]
    return "\n".join(lines)


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    first, *rest = (
        cell.ljust(width) if i in (0, 3) else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join([first, *rest]).rstrip()
