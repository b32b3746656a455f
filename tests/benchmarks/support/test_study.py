"""The command line of studies."""

import sys
from dataclasses import dataclass

import pytest

from opendactyl.benchmarks.support.study import run_study
from opendactyl.core.errors import InputError


@dataclass(frozen=True)
class Config:
    """Settings of a study."""

    size: int = 1
    """A size."""
    resume: bool = False
    """Continue."""


def test_a_study_prints_its_table(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["study", "--size", "3"])
    run_study("size", "Sizes.", Config, lambda config: f"size {config.size}")
    assert capsys.readouterr().out == "size 3\n"


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (KeyboardInterrupt(), 130, "interrupted; continue with --resume\n"),
        (InputError("no such bundle"), 2, "opendactyl: no such bundle\n"),
    ],
)
def test_a_study_ends_with_one_line(monkeypatch, capsys, error, status, line):
    def fail(_):
        raise error

    monkeypatch.setattr(sys, "argv", ["study"])
    with pytest.raises(SystemExit) as stop:
        run_study("size", "Sizes.", Config, fail)
    assert stop.value.code == status and capsys.readouterr().err == line
