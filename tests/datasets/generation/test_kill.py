"""The generator is killed at random moments: no sample is lost or doubled.

OPENDACTYL_KILLS sets the number of kills (default 100).
"""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from opendactyl.datasets.format.manifest import iterate_samples, load_manifest
from opendactyl.datasets.generation.verify import verify

KILLS = int(os.environ.get("OPENDACTYL_KILLS", "100"))
SAMPLES = 48
COMMAND = [
    sys.executable, "-m", "opendactyl.cli.main", "dataset", "--num-samples", str(SAMPLES),
    "--shard-size", "2", "--image-size", "48", "--workers", "2",
]  # fmt: skip


def generator(out):
    return subprocess.Popen(
        [*COMMAND, "--out", str(out), "--resume"],
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )


def wait_until_gone(group, seconds=20.0):
    """Waits for all processes of a killed generator; its workers end by themselves."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.02)
    pytest.fail("workers of a killed generator still run")


@pytest.mark.slow
def test_kills_at_random_moments_lose_or_double_no_sample(tmp_path):
    began = time.monotonic()
    assert generator(tmp_path / "whole").wait() == 0
    whole = time.monotonic() - began
    out = tmp_path / "killed"
    rng = random.Random(0)
    kills = rounds = 0
    while kills < KILLS:
        process = generator(out)
        time.sleep(rng.uniform(0.0, whole))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
        wait_until_gone(process.pid)
        if (out / "manifest.json").exists():
            # This dataset was finished before the kill; continue in the next folder.
            compare(out, tmp_path / "whole")
            rounds += 1
            out = tmp_path / f"killed-{rounds}"
    assert generator(out).wait() == 0
    compare(out, tmp_path / "whole")
    print(f"{kills} kills, {rounds + 1} datasets finished")


def compare(folder, reference):
    """Manifest and shards equal those of an uninterrupted run; each sample occurs once."""
    assert (folder / "manifest.json").read_bytes() == (reference / "manifest.json").read_bytes()
    names = {shard.name for shard in load_manifest(reference).shards}
    assert {path.name for path in folder.glob("*.tar")} == names
    for name in names:
        assert (folder / name).read_bytes() == (reference / name).read_bytes()
    assert [sample.label.index for sample in iterate_samples(folder)] == list(range(SAMPLES))
    assert verify(folder) == []
