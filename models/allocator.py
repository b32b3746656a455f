"""The memory allocator of a training."""

import ctypes
import sys

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
"""Parameters of glibc's mallopt."""


def keep_freed_memory() -> bool:
    """Has glibc's allocator keep freed memory for later allocations of this process.

    A step of training frees hundreds of megabytes and allocates them again. By default they are
    returned to the system in between, and every page of 4 KiB is faulted in anew. Returns whether
    the C library knows these settings.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # musl
        return False
    largest = 2**31 - 1
    settings = ((_MMAP_THRESHOLD, largest), (_TRIM_THRESHOLD, largest), (_TOP_PAD, 2**28))
    return all([mallopt(name, value) for name, value in settings])
