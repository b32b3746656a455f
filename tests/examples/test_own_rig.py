"""The example of a robot."""

import json
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_rig.py"


def test_the_example_runs_unchanged(bundle):
    assert len(EXAMPLE.read_text().splitlines()) < 90
    done = subprocess.run(
        [sys.executable, "-P", str(EXAMPLE), str(bundle), "10"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout[done.stdout.index("{") :])
    assert report["actions"] == 10
    assert report["milliseconds"]["total"]["p50"] > 0
