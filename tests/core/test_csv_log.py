import csv

from opendactyl.core.csv_log import append_row, trim


def test_rows_after_the_checkpoint_are_dropped(tmp_path):
    path = tmp_path / "metrics.csv"
    trim(path, "seconds", 1.0)
    assert not path.exists()
    for seconds in (0.5, 1.0, 1.5, 20.0):
        append_row(path, ("seconds", "loss"), {"seconds": seconds})
    with path.open("a") as file:
        file.write(",\n1e")  # what a full disk leaves
    trim(path, "seconds", 1.0)
    append_row(path, ("seconds", "loss"), {"seconds": 1.25, "loss": 3})
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["seconds"] for row in rows] == ["0.5", "1.0", "1.25"]
    assert [row["loss"] for row in rows] == ["", "", "3"]
