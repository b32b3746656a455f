"""The demo: its steps are valid commands, its outputs exist, its exit status is the step's."""

import re
import subprocess
from pathlib import Path

import pytest

from opendactyl.cli.verbs import demo
from opendactyl.cli.verbs.demo import DemoConfig, _steps
from opendactyl.core.errors import InputError

STEPS = _steps(DemoConfig(), Path("demo"))


@pytest.mark.parametrize("step", STEPS, ids=[title for title, _, _ in STEPS])
def test_every_step_has_valid_options(wrong_options, step):
    _, verb, options = step
    assert "Unrecognized options: --surplus For full" in wrong_options(verb, *options, "--surplus")


@pytest.mark.parametrize(("step", "status"), [(2, 2), (3, 3), (1, 1), (-9, 3), (130, 130)])
def test_it_ends_with_the_status_of_the_failed_step(fails, monkeypatch, step, status):
    def run(command, **options):
        return subprocess.CompletedProcess(command, step)

    monkeypatch.setattr(demo, "choose_backend", lambda: "egl")
    monkeypatch.setattr(demo.subprocess, "run", run)
    ended, stderr = fails("demo", "--out", "kept")
    assert ended == status
    forecast, line = stderr.splitlines()
    assert re.fullmatch(r"about \d+ minutes; \d+ MB to write, \d+ MB free", forecast)
    assert ("opendactyl dataset" in line) == (status != 130)


def test_its_steps_inherit_debugging(opendactyl, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/train").write_text("in the way")
    done = opendactyl("--debug", "demo", "--out", ".", "--resume", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("Traceback (most recent call last)") >= 2
    assert done.stderr.splitlines()[-1].startswith("opendactyl: the step `opendactyl dataset`")


def test_both_evaluations_differ_only_in_the_pose():
    sim, vision = (options for _, verb, options in STEPS if verb == "evaluate")
    changed = [(a, b) for a, b in zip(sim, vision, strict=True) if a != b]
    assert changed == [("sim", "vision"), ("demo/evaluate-sim", "demo/evaluate-vision")]


def test_training_starts_from_the_shipped_weights_by_default(monkeypatch, tmp_path):
    def starts(steps):
        return [options[options.index("--warm-start") + 1]
                for _, _, options in steps if "--warm-start" in options]  # fmt: skip

    assert [Path(path).exists() for path in starts(STEPS)] == [True, True]
    monkeypatch.setattr("opendactyl.cli.bundles.SHIPPED", tmp_path)
    assert starts(_steps(DemoConfig(from_scratch=True), Path("demo"))) == []
    with pytest.raises(InputError, match="--from-scratch"):
        _steps(DemoConfig(), Path("demo"))


@pytest.mark.slow
def test_its_outputs_exist(opendactyl, tmp_path):
    done = opendactyl(
        "demo", "--samples", 20, "--vision-minutes", 0.1, "--policy-minutes", 0.1,
        "--episodes", 1, "--seconds-per-goal", 0.4, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    table, paths = done.stdout.split("its outputs are:")
    assert "n = 2 samples of the validation set" in table
    assert "pose from vision   n = 1" in table
    named = [line.split()[-1] for line in paths.strip().splitlines()]
    assert len(named) == 7
    assert all((tmp_path / name).exists() for name in named)
