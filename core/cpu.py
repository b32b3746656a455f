"""The number of processor cores available to this process."""

import math
import os
from pathlib import Path

_CGROUP_ROOT = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


def cores() -> int:
    """The cores this process may use: by CPU affinity and by cgroup quota, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    else:
        allowed = os.cpu_count() or 1
    return max(1, math.ceil(min(allowed, cgroup_quota(_CGROUP_ROOT, _MEMBERSHIP))))


def cgroup_quota(root: Path, membership: Path) -> float:
    """The CPU quota of this process in cores, infinite without one (cgroup v1 and v2).

    A quota holds for a group and everything below it, so the smallest one from the process's group
    up to the root counts. In a container the root often is the process's own group.

    Args:
        root: where the cgroup file systems are mounted.
        membership: the file that lists the groups of this process.
    """
    quotas = [math.inf]
    for folder, group in _groups(root, membership):
        for path in (group, *group.parents):
            quotas.append(_quota(folder / path.relative_to("/")))
    return min(quotas)


def _groups(root: Path, membership: Path) -> list[tuple[Path, Path]]:
    """The mounted hierarchies that can limit CPU time, with this process's group in each."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if not controllers:
            found.append((root, Path(group)))
        elif "cpu" in controllers.split(","):
            found += [(root / name, Path(group)) for name in (controllers, "cpu")]
    return found


def _quota(folder: Path) -> float:
    try:
        if (folder / "cpu.max").exists():  # v2: "max 100000" or "200000 100000"
            limit, period = (folder / "cpu.max").read_text().split()
        else:  # v1: -1 is no limit
            limit = (folder / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text().strip()
        return int(limit) / int(period) if limit not in ("max", "-1") else math.inf
    except (OSError, ValueError, ZeroDivisionError):
        return math.inf
