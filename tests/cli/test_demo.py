"""The demo types what the verbs understand, and at full length leaves all that it promises."""

from pathlib import Path

import pytest

from opendactyl.cli.verbs.demo import DemoConfig, _steps
from opendactyl.core.errors import InputError

STEPS = _steps(DemoConfig(), Path("demo"))


@pytest.mark.parametrize("step", STEPS, ids=[title for title, _, _ in STEPS])
def test_every_step_is_understood(refused, step):
    _, verb, options = step
    assert "Unrecognized options: --surplus;" in refused(verb, *options, "--surplus")


def test_both_evaluations_differ_in_the_pose_alone():
    sim, vision = (options for _, verb, options in STEPS if verb == "evaluate")
    changed = [(a, b) for a, b in zip(sim, vision, strict=True) if a != b]
    assert changed == [("sim", "vision"), ("demo/evaluate-sim", "demo/evaluate-vision")]


def test_training_starts_from_what_ships_unless_it_is_to_start_from_nothing(monkeypatch, tmp_path):
    def starts(steps):
        return [options[options.index("--warm-start") + 1]
                for _, _, options in steps if "--warm-start" in options]  # fmt: skip

    assert [Path(path).exists() for path in starts(STEPS)] == [True, True]
    monkeypatch.setattr("opendactyl.cli.bundles.SHIPPED", tmp_path)
    assert starts(_steps(DemoConfig(from_scratch=True), Path("demo"))) == []
    with pytest.raises(InputError, match="--from-scratch"):
        _steps(DemoConfig(), Path("demo"))


@pytest.mark.slow
def test_the_demo_leaves_what_it_says(opendactyl, tmp_path):
    done = opendactyl(
        "demo", "--samples", 20, "--vision-minutes", 0.1, "--policy-minutes", 0.1,
        "--episodes", 1, "--seconds-per-goal", 0.4, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    table, places = done.stdout.split("it left behind:")
    assert "n = 2 samples of the validation set" in table
    assert "pose from vision   n = 1" in table
    named = [line.split()[-1] for line in places.strip().splitlines()]
    assert len(named) == 7
    assert all((tmp_path / name).exists() for name in named)
