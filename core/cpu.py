"""How many processor cores there are to use."""

import os


def cores() -> int:
    """The cores this process may run on: in a container, often fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
