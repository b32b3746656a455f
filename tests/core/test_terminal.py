"""Output where the encoding lacks characters."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
from opendactyl.core.errors import InputError, one_line_errors
with one_line_errors():
    print("2.0° ± 1 ≥ 0 … ╭─ 手")
    raise InputError("the angle is 400°")
"""


def run(encoding, *command):
    environment = os.environ | {"PYTHONIOENCODING": encoding, "LANG": "C", "LC_ALL": "C"}
    return subprocess.run(
        [sys.executable, "-P", *command], env=environment, capture_output=True, check=False
    )


@pytest.mark.parametrize(
    ("encoding", "out", "error"),
    [
        ("ascii", b"2.0 deg +- 1 >= 0 ... +- ?\n", b"opendactyl: the angle is 400 deg\n"),
        ("latin-1", b"2.0\xb0 \xb1 1 >= 0 ... +- ?\n", b"opendactyl: the angle is 400\xb0\n"),
    ],
)
def test_missing_characters_are_replaced(encoding, out, error):
    done = run(encoding, "-c", PROGRAM)
    assert (done.returncode, done.stdout, done.stderr) == (2, out, error)


def test_help_is_printed_in_ascii():
    done = run("ascii", "-m", "opendactyl.cli.main", "estimate", "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii() and b"--images" in done.stdout
