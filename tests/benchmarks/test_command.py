"""The verb refuses what it cannot do before it measures anything, and draws the curves it has."""

import os
import subprocess
import sys

import pytest

from opendactyl.benchmarks.curves import group_curves, write_page
from opendactyl.benchmarks.measure import Row


def _bench(*options, cwd):
    return subprocess.run(
        [sys.executable, "-P", "-m", "opendactyl.cli.main", "bench", *options],
        cwd=cwd, capture_output=True, text=True, env={**os.environ, "COLUMNS": "200"}, check=False,
    )  # fmt: skip


def test_help_lists_the_options(tmp_path):
    done = _bench("--help", cwd=tmp_path)
    assert done.returncode == 0
    for option in ("--suite", "--out", "--full"):
        assert option in done.stdout


@pytest.mark.parametrize("options", [("--suite", "nosuch"), ("--speed",), ("--out", "kept.json")])
def test_bad_usage_is_one_line_and_status_2(tmp_path, options):
    (tmp_path / "kept.json").write_text("{}")
    done = _bench(*options, cwd=tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["kept.json"]
    assert (tmp_path / "kept.json").read_text() == "{}"


def _row(name, ours):
    return Row(name=name, ours=ours, peer=10.0, peer_name="other", unit="images/s")


def test_curves_are_found_by_name_and_drawn(tmp_path):
    rows = [
        _row("render/images_per_second", 50.0),
        _row("render/pixels_200", 20.0),
        _row("render/pixels_64", 40.0),
        _row("vision/plain_torch_dactyl", 3.0),
    ]
    curves = group_curves(rows)
    assert list(curves) == ["render/pixels"]
    assert [(value, row.ours) for value, row in curves["render/pixels"].items()] == [
        (64, 40.0),
        (200, 20.0),
    ]
    write_page(rows, tmp_path / "bench.html")
    text = (tmp_path / "bench.html").read_text()
    assert text.count("<img") == 1
    assert "vision/plain_torch_dactyl" in text
