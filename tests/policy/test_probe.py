"""Decoding the object's size from a policy's memory."""

import subprocess
import sys

import numpy as np
import pytest

from opendactyl.policy import probe as module
from opendactyl.policy.probe import classifier_accuracy


def test_the_classifier_finds_information_only_where_it_is():
    rng = np.random.default_rng(0)
    larger = rng.random(800) < 0.5
    features = rng.normal(size=(800, 20)).astype(np.float32)
    assert classifier_accuracy(features, larger) == pytest.approx(0.5, abs=0.1)
    features[:, 3] += 2.0 * larger
    assert classifier_accuracy(features, larger) > 0.75


def test_the_probe_reports_every_time(policy_run, monkeypatch):
    monkeypatch.setattr(module, "ROUNDS", 2)
    monkeypatch.setattr(module, "HANDS", 8)
    monkeypatch.setattr(module, "SECONDS", (0.16, 0.4))
    report = module.probe(policy_run)
    assert len(report["memory"]) == len(report["observation"]) == 2
    assert report["n"] == [16, 16]
    assert all(0 <= accuracy <= 1 for accuracy in report["memory"])


def test_help_describes_the_program():
    command = [sys.executable, "-P", "-m", "opendactyl.policy.probe"]
    done = subprocess.run([*command, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "RUN" in done.stdout and "memory" in done.stdout


def test_a_missing_run_is_one_line(tmp_path):
    command = [sys.executable, "-P", "-m", "opendactyl.policy.probe", str(tmp_path / "no-run")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("opendactyl: ") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("value", ["nonsense", " Disable "])
def test_the_graphics_variable_is_checked_before_mujoco_reads_it(tmp_path, monkeypatch, value):
    monkeypatch.setenv("MUJOCO_GL", value)
    command = [sys.executable, "-P", "-m", "opendactyl.policy.probe", str(tmp_path / "no-run")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert ("MUJOCO_GL is 'nonsense'" in done.stderr) == (value == "nonsense")


def test_debug_prints_the_traceback(tmp_path):
    command = [sys.executable, "-P", "-m", "opendactyl.policy.probe", "--debug", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "Traceback" in done.stderr
