"""Shared memory that is small or cannot be used, in a mount namespace of its own."""

import json
import subprocess
import sys

import pytest

from opendactyl.core import worker_process
from opendactyl.core.worker_process import can_start_workers

PROGRAM = """
import json
from opendactyl.cli.verbs.doctor import _shared_memory
from opendactyl.core.worker_process import can_start_workers, free_shared_memory
print(json.dumps([_shared_memory(), free_shared_memory(), can_start_workers("so", 2**21)]))
"""
ISOLATED = ["unshare", "-m", "bash", "-c"]


def mounted(options, *command):
    """Runs a command where /dev/shm is a tmpfs with other options."""
    try:
        allowed = subprocess.run([*ISOLATED, "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        allowed = False
    if not allowed:
        pytest.skip("this user may not create mount namespaces")
    mount = f'mount -t tmpfs -o {options} tmpfs /dev/shm && exec "$@"'
    return subprocess.run(
        [*ISOLATED, mount, "bash", sys.executable, "-P", *command],
        capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip


def test_a_small_one_is_measured():
    done = mounted("size=1M", "-c", PROGRAM)
    doctor, free, works = json.loads(done.stdout)
    assert (doctor[0], free, works) == ("--", 2**20, False)
    assert doctor[2].startswith("1 MiB free in /dev/shm") and "--shm-size" in doctor[2]
    assert "/dev/shm has 1 MiB free, and 2 MiB are needed" in done.stderr
    assert done.stderr.strip().endswith("; so")


def test_an_unusable_one_is_reported():
    done = mounted("ro", "-c", PROGRAM)
    doctor, _, works = json.loads(done.stdout)
    assert (doctor[0], works) == ("--", False)
    assert doctor[2].startswith("/dev/shm cannot be used (Read-only file system)")


def test_a_usable_one_says_nothing(capsys):
    assert can_start_workers("so")
    assert capsys.readouterr().err == ""


def test_an_absent_one_is_no_space(monkeypatch, tmp_path):
    monkeypatch.setattr(worker_process, "SHARED_MEMORY", tmp_path / "absent")
    assert worker_process.free_shared_memory() == (0 if sys.platform == "linux" else float("inf"))


@pytest.mark.slow
@pytest.mark.parametrize("options", ["size=1M", "ro"])
def test_commands_run_with_it(options, dataset, val_dataset, bundle, tmp_path):
    out = tmp_path / "out"
    for words in (
        ["dataset", "--out", out / "data", "--num-samples", 4, "--image-size", 64, "--workers", 2],
        ["train-vision", "--data", dataset, "--val-data", val_dataset, "--out", out / "run",
         "--image-size", 64, "--batch-size", 12, "--max-epochs", 1, "--workers", 2],
        ["evaluate", "--bundle", bundle, "--pose", "vision", "--episodes", 2, "--out", out / "e",
         "--seconds-per-goal", 0.4, "--video-seconds", 0],
    ):  # fmt: skip
        done = mounted(options, "-m", "opendactyl.cli.main", *map(str, words))
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        if options == "ro" or words[0] == "train-vision":
            assert "opendactyl: /dev/shm" in done.stderr
