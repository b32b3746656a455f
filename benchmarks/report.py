"""Runs suites and writes their rows to a file and as tables."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from opendactyl.benchmarks.curves import write_page
from opendactyl.benchmarks.machine import describe_machine
from opendactyl.benchmarks.measure import Budget, PartialResults, Row
from opendactyl.core.atomic_files import read_json, sha256, write_json
from opendactyl.core.errors import InputError
from opendactyl.core.run_dir import announce, check_same

SUITES = ("render", "env", "vision", "policy", "loop")
HEADERS = ("row", "ours", "peer", "unit", "ratio")
SUITE_SECONDS, FULL_SUITE_SECONDS = 300.0, 2700.0
"""Upper limits of the time of a suite with the default `Budget.seconds`, without and with the long
curves, and without the race of suite `policy`."""
ROWS_BYTES = 1e6
"""Upper limit of the size of the files."""


def run_suites(
    names: tuple[str, ...],
    budget: Budget,
    out: Path,
    say: Callable[[str], None],
    *,
    resume: bool = False,
) -> dict[str, Any]:
    """Runs suites one after the other; after each, `out` holds all rows measured so far.

    With the long curves, an HTML page with their plots is written beside `out`.

    Args:
        names: keys of `SUITES`.
        budget: the measuring time of each.
        out: the JSON file to write, which must not exist unless `resume` is set.
        say: called with the name of each suite that starts, and with each finished table.
        resume: keep the suites that `out` has, and what the interrupted one has finished; it must
            be of the same machine and settings.

    Raises:
        InputError: `out` exists or cannot be continued, there is no such suite, or no time.
    """
    _check(names, budget)
    if out.exists() and not resume:
        raise InputError(
            f"{out} exists; continue it with --resume, name another file with --out, or delete it"
        )
    machine = describe_machine()
    settings = {"full": budget.full, "seconds": budget.seconds, "realtime": budget.realtime}
    networks = budget.bundle and sha256(budget.bundle / "manifest.json")
    results = _Results(out, machine, settings | {"networks": networks})
    missing = [name for name in names if not results.has(name)]
    if missing:
        announce(out.parent, longest(missing, budget), ROWS_BYTES, limit=True)
    for name in missing:
        say(f"suite {name} ({machine['cores']} cores, {machine['instruction_set']}) …")
        say(table(results.measure(name, budget)))
    if budget.full:
        write_page(results.rows, machine, out.with_suffix(".html"))
    return results.to_dict()


def longest(names: Sequence[str], budget: Budget) -> float:
    """Upper limit of the seconds that suites take."""
    of_suite = FULL_SUITE_SECONDS if budget.full else SUITE_SECONDS
    seconds = len(names) * of_suite * max(1.0, budget.seconds / Budget.seconds)
    if budget.full and "policy" in names:
        from opendactyl.benchmarks.suites.learning_race import Race

        seconds += 60.0 * Race().longest
    return seconds


class _Results:
    """The rows of finished suites, and what unfinished ones have measured; kept in a file."""

    def __init__(self, out: Path, machine: dict[str, Any], settings: dict[str, Any]) -> None:
        """Reads the file if it exists; it must be of the same machine and settings."""
        self._out, self._header = out, {"machine": machine, "settings": settings}
        self.rows, self._partial = _measured(out, machine | settings) if out.exists() else ([], {})

    def has(self, suite: str) -> bool:
        """Whether a suite is finished."""
        return any(row.name.startswith(f"{suite}/") for row in self.rows)

    def measure(self, suite: str, budget: Budget) -> list[Row]:
        """Runs a suite, or continues it; returns its rows."""
        module = import_module(f"opendactyl.benchmarks.suites.{suite}")
        partial = PartialResults(self._partial.setdefault(suite, {}), self._save)
        rows: list[Row] = module.run(replace(budget, partial=partial))
        self.rows += rows
        del self._partial[suite]
        self._save()
        return rows

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able form of what is finished."""
        return self._header | {"rows": [row.to_dict() for row in self.rows]}

    def _save(self) -> None:
        partial = {"partial": self._partial} if self._partial else {}
        write_json(self._out, self.to_dict() | partial)


def _check(names: tuple[str, ...], budget: Budget) -> None:
    unknown = [name for name in names if name not in SUITES]
    if unknown:
        raise InputError(f"no suite {unknown[0]!r}; the suites are {', '.join(SUITES)}, all")
    if not 0 < budget.seconds < math.inf:
        raise InputError(f"--seconds is {budget.seconds}; it must be positive and finite")


def _measured(out: Path, expected: dict[str, Any]) -> tuple[list[Row], dict[str, Any]]:
    """The rows of a file, and what it has of unfinished suites; the machine must be the same."""
    old = read_json(out)
    if not isinstance(old, dict) or not {"machine", "settings", "rows"} <= set(old):
        raise InputError(f"{out} is not a file of `bench` that can be continued; name another")
    varying = {"load_average_at_start": expected["load_average_at_start"]}
    check_same(old["machine"] | old["settings"] | varying, expected, out)
    return [Row.from_dict(row) for row in old["rows"]], old.get("partial", {})


def table(rows: list[Row]) -> str:
    """Rows as aligned text, with the peer of each below."""
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
