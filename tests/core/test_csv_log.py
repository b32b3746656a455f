import csv
import errno
from pathlib import Path

import pytest

from opendactyl.core.csv_log import append_row, trim
from opendactyl.core.errors import InputError


def test_rows_after_the_checkpoint_are_dropped(tmp_path):
    path = tmp_path / "metrics.csv"
    trim(path, "seconds", 1.0)
    assert not path.exists()
    for seconds in (0.5, 1.0, 1.5, 20.0):
        append_row(path, ("seconds", "loss"), {"seconds": seconds})
    with path.open("a") as file:
        file.write(",\n1")  # what a full disk leaves of 1.75
    trim(path, "seconds", 1.0)
    append_row(path, ("seconds", "loss"), {"seconds": 1.25, "loss": 3})
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["seconds"] for row in rows] == ["0.5", "1.0", "1.25"]
    assert [row["loss"] for row in rows] == ["", "", "3"]


@pytest.mark.parametrize("left", ["", "seconds,lo"])
def test_an_empty_file_gets_its_header(tmp_path, left):
    """A full disk may leave one, or a part of the header."""
    path = tmp_path / "metrics.csv"
    path.write_text(left)
    trim(path, "seconds", 1.0)
    append_row(path, ("seconds", "loss"), {"seconds": 0.5, "loss": 2})
    assert path.read_text().splitlines() == ["seconds,loss", "0.5,2"]


def test_a_file_that_cannot_be_accessed_is_not_a_new_one(tmp_path, monkeypatch):
    path = tmp_path / "metrics.csv"
    append_row(path, ("seconds",), {"seconds": 1.0})
    before = path.read_bytes()

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "refused")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", refuse)
        for attempt in (
            lambda: trim(path, "seconds", 0.5),
            lambda: append_row(path, ("seconds",), {"seconds": 2.0}),
        ):
            with pytest.raises(InputError, match="cannot access"):
                attempt()
    assert path.read_bytes() == before
