"""The verb `bench`: options, errors before anything is measured, and curves."""

import os

import pytest

from opendactyl.benchmarks.curves import group_curves, write_page
from opendactyl.benchmarks.measure import Row


@pytest.fixture
def bench(python, tmp_path):
    """Runs `opendactyl bench` in an empty folder."""

    def run(*options):
        environment = {**os.environ, "COLUMNS": "200"}
        command = ("-m", "opendactyl.cli.main", "bench")
        return python(*command, *options, cwd=tmp_path, env=environment)

    return run


def test_help_lists_the_options(bench):
    done = bench("--help")
    assert done.returncode == 0
    for option in ("--suite", "--out", "--full", "--resume"):
        assert option in done.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--suite", "nosuch"), "opendactyl: no suite 'nosuch'"),
        (("--seconds", "0"), "opendactyl: --seconds is 0.0; it must be positive"),
        (("--seconds", "nan"), "opendactyl: --seconds is nan; it must be positive"),
        (("--speed",), "Unrecognized options: --speed"),
        (("--out", "kept.json"), "opendactyl: kept.json exists; continue it with --resume"),
        (("--out", "kept.json", "--resume"), "opendactyl: kept.json is not a file of `bench`"),
    ],
)
def test_wrong_options_end_with_status_2(bench, tmp_path, options, message):
    (tmp_path / "kept.json").write_text("{}")
    done = bench(*options)
    assert done.returncode == 2
    assert message in done.stderr and "Traceback" not in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["kept.json"]
    assert (tmp_path / "kept.json").read_text() == "{}"


@pytest.mark.parametrize(
    ("study", "arguments"), [("ablations", ()), ("memory", ("--teacher", "nowhere"))]
)
def test_studies_check_the_opengl_backend_before_mujoco_is_imported(
    python, tmp_path, study, arguments
):
    module = f"opendactyl.benchmarks.studies.{study}"
    environment = os.environ | {"MUJOCO_GL": "vulcan"}
    done = python("-m", module, *arguments, "--debug", cwd=tmp_path, env=environment)
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("opendactyl: MUJOCO_GL is 'vulcan'")


def _row(name, ours):
    return Row(name=name, ours=ours, peer=10.0, peer_name="other", unit="images/s")


def test_curves_are_found_by_name_and_plotted(tmp_path):
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
    machine = {"cores": 2, "processor": "CPU", "instruction_set": "AVX2"}
    write_page(rows, machine, tmp_path / "bench.html")
    text = (tmp_path / "bench.html").read_text()
    assert text.count("<img") == 1
    assert "vision/plain_torch_dactyl" in text
    assert "2 cores, CPU, AVX2" in text
