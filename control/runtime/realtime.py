"""Real-time scheduling of a control loop."""

import contextlib
import ctypes
import logging
import os
import resource
from collections.abc import Iterator

from opendactyl.core.errors import InputError

log = logging.getLogger(__name__)

MODES = ("auto", "off")
"""auto: real-time scheduling where the system allows it."""
FIFO, NORMAL = "fifo", "normal"
PRIORITY = 10
"""Of 1 to 99; interrupt handlers of the kernel have 50."""
LOCKED = 1 | 2 | 4
"""MCL_CURRENT, MCL_FUTURE and MCL_ONFAULT: pages stay in memory once they were used."""
REMEDY = (
    "the loop has no real-time scheduling, and other programs can delay it; allow it with "
    "`USER - rtprio 10` and `USER - memlock unlimited` in /etc/security/limits.conf, or in a "
    "container with --cap-add=SYS_NICE --ulimit rtprio=10"
)


def check_mode(mode: str) -> None:
    """Checks one of `MODES`.

    Raises:
        InputError: another value.
    """
    if mode not in MODES:
        raise InputError(f"realtime is {mode!r}; it must be {' or '.join(MODES)}")


@contextlib.contextmanager
def real_time(mode: str = "auto") -> Iterator[str]:
    """Schedules all threads of this process in real time within the block, and locks its memory.

    `nice` does not protect a loop from a job of another session, as Linux shares the processor
    between sessions first; SCHED_FIFO does. Threads that the block starts inherit it.

    Args:
        mode: one of `MODES`.

    Yields:
        `fifo`, or `normal` if the system does not allow it (logged with a remedy) or `mode` is off.

    Raises:
        InputError: the mode is unknown.
    """
    check_mode(mode)
    if mode == "off" or not hasattr(os, "sched_setscheduler"):
        yield NORMAL
        return
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        _schedule(os.SCHED_FIFO, os.sched_param(PRIORITY))
    except OSError:  # EPERM without the permission, EINVAL where the kernel has no such policy
        log.warning("%s", REMEDY)
        yield NORMAL
        return
    locked = _lock_memory()
    try:
        yield FIFO
    finally:
        _schedule(*before)
        if locked:
            ctypes.CDLL(None).munlockall()


def _schedule(policy: int, param: os.sched_param) -> None:
    """Sets the policy of every thread of this process."""
    for thread in map(int, os.listdir("/proc/self/task")):
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            os.sched_setscheduler(thread, policy, param)


def _lock_memory() -> bool:
    """Keeps the memory from being paged out, unless a limit would make allocations fail."""
    unlimited = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] == resource.RLIM_INFINITY
    return unlimited and ctypes.CDLL(None).mlockall(LOCKED) == 0
