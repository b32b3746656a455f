"""Set-up of worker processes, and the shared memory that they need."""

import math
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")
"""Where Linux keeps semaphores and shared memory."""
ENLARGE = (
    "enlarge it: docker run --shm-size=1g, or mount -o remount,size=1G /dev/shm as administrator"
)


def obey_parent() -> None:
    """Ignores Ctrl-C, and ends the process when its parent ends. Call it first in a worker.

    Ctrl-C reaches the whole process group, but only the parent decides how to stop. The workers of
    a parent that was killed would otherwise never end.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)


def shared_memory_fault() -> str:
    """Why processes cannot share semaphores here, with the remedy; empty if they can."""
    try:
        multiprocessing.get_context("spawn").Lock()
    except OSError as error:
        return (
            f"{SHARED_MEMORY} cannot be used ({error.strerror or error}): mount a tmpfs on it that "
            "everyone may write to (mode 1777)"
        )
    return ""


def free_shared_memory() -> float:
    """Free bytes of shared memory; infinity where the system has no folder for it."""
    try:
        status = os.statvfs(SHARED_MEMORY)
    except FileNotFoundError:
        return 0.0 if sys.platform == "linux" else math.inf
    except OSError:
        return 0.0
    return status.f_bavail * status.f_frsize


def can_start_workers(consequence: str, shared_bytes: int = 0) -> bool:
    """Whether worker processes work here; otherwise prints why not, and the consequence.

    Args:
        consequence: what happens without them.
        shared_bytes: the shared memory that they need.
    """
    fault, free = shared_memory_fault(), free_shared_memory()
    if not fault and free < shared_bytes:
        fault = (
            f"{SHARED_MEMORY} has {free / 2**20:.0f} MiB free, and {shared_bytes / 2**20:.0f} MiB "
            f"are needed; {ENLARGE}"
        )
    if fault:
        print(f"opendactyl: {fault}; {consequence}", file=sys.stderr)
    return not fault
