"""The example of a robot."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE, SHIPPED = ROOT / "examples" / "own_rig.py", ROOT / "pretrained" / "spin"


@pytest.mark.parametrize("shipped", [True, False], ids=["raw frames", "the network's images"])
def test_the_example_runs_unchanged(bundle, shipped):
    assert len(EXAMPLE.read_text().splitlines()) < 90
    done = subprocess.run(
        [sys.executable, "-P", str(EXAMPLE), str(SHIPPED if shipped else bundle), "10"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "single colour" not in done.stdout
    report = json.loads(done.stdout[done.stdout.index("{") :])
    assert report["actions"] == 10
    assert report["milliseconds"]["total"]["p50"] > 0
