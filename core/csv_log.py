"""Training metrics as CSV files that a resumed run appends to."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from opendactyl.core.atomic_files import write_text
from opendactyl.core.optional_files import exists


def append_row(path: Path, columns: Sequence[str], row: Mapping[str, Any]) -> None:
    """Appends a row to a CSV file, after a header if the file is new; missing values stay empty."""
    fresh = not exists(path) or not path.stat().st_size
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="", extrasaction="ignore")
        if fresh:
            writer.writeheader()
        writer.writerow(row)


def trim(path: Path, column: str, limit: float) -> None:
    """Drops rows whose `column` exceeds `limit`: a run resumed from a checkpoint repeats them.

    A row that a full disk has cut short is dropped too.
    """
    if not exists(path):
        return
    with path.open(newline="") as file:
        content = file.read()
    whole = content[: content.rfind("\n") + 1]
    reader = csv.DictReader(io.StringIO(whole, newline=""))
    rows, columns = list(reader), reader.fieldnames
    if columns is None:
        write_text(path, "")
        return
    kept = [row for row in rows if _number(row[column]) <= limit]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    writer.writerows(kept)
    write_text(path, text.getvalue())


def _number(text: str | None) -> float:
    try:
        return float(text or "inf")
    except ValueError:
        return math.inf
