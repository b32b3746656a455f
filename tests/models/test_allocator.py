"""The allocator keeps what a training frees."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import numpy as np
from opendactyl.models.allocator import keep_freed_memory

if sys.argv[1] == "keep" and not keep_freed_memory():
    raise SystemExit("not glibc")
for _ in range(3):
    np.ones(25_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    np.ones(25_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(mode):
    done = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM, mode], capture_output=True, text=True, check=False
    )
    if "not glibc" in done.stderr:
        pytest.skip("another C library")
    return int(done.stdout)


def test_freed_memory_is_not_faulted_in_again():
    """Five arrays of 200 MB, in pages of 4 KiB or 2 MiB."""
    default, kept = faults("default"), faults("keep")
    assert default > 400
    assert kept < 50
