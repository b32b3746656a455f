import math
import os

import pytest

from opendactyl.core import cpu


@pytest.fixture
def cgroups(tmp_path, monkeypatch):
    """Writes the groups of this process and the files of an artificial cgroup file system."""
    root, membership = tmp_path / "cgroup", tmp_path / "self"
    monkeypatch.setattr(cpu, "_CGROUP_ROOT", root)
    monkeypatch.setattr(cpu, "_MEMBERSHIP", membership)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))

    def write(groups, files):
        membership.write_text("\n".join(groups) + "\n")
        for name, text in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text + "\n")

    return write


def v1(folder, quota):
    return {f"{folder}/cpu.cfs_quota_us": quota, f"{folder}/cpu.cfs_period_us": "100000"}


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        (["0::/"], {"cpu.max": "200000 100000"}, 2),
        (["0::/"], {"cpu.max": "250000 100000"}, 3),
        (["0::/"], {"cpu.max": "50000 100000"}, 1),
        (["0::/"], {"cpu.max": "max 100000"}, 64),
        (["0::/a/b"], {"a/b/cpu.max": "max 100000", "a/cpu.max": "400000 100000"}, 4),
        (["0::/a/b"], {"a/b/cpu.max": "300000 100000", "a/cpu.max": "400000 100000"}, 3),
        (["4:cpu,cpuacct:/"], v1("cpu,cpuacct", "200000"), 2),
        (["4:cpu,cpuacct:/docker/x"], v1("cpu", "200000"), 2),
        (["4:cpu:/docker/x"], v1("cpu/docker", "500000") | v1("cpu/docker/x", "-1"), 5),
        (["4:cpu:/"], v1("cpu", "-1"), 64),
        (["4:cpuset:/"], v1("cpuset", "100000"), 64),
        (["0::/"], {"cpu.max": "nonsense"}, 64),
    ],
)
def test_cgroup_quotas_limit_the_cores(cgroups, groups, files, expected):
    cgroups(groups, files)
    assert cpu.cores() == expected


def test_affinity_limits_the_cores_too(cgroups, monkeypatch):
    cgroups(["0::/"], {"cpu.max": "800000 100000"})
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 3})
    assert cpu.cores() == 2


def test_without_cgroups_there_is_no_quota(tmp_path):
    assert cpu.cgroup_quota(tmp_path, tmp_path / "none") == math.inf
