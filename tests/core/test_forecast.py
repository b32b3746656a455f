"""Announcements of time and size, and folders of commands that fail."""

import shutil
from collections import namedtuple

import pytest

from opendactyl.core import run_dir
from opendactyl.core.errors import EnvironmentFailure, InputError
from opendactyl.core.run_dir import Forecast, announce, new_folder, open_run, removed_on_failure

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def disk(monkeypatch):
    def have(free):
        monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 0, free))

    return have


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(run_dir.time, "monotonic", lambda: now[0])
    return now


def test_time_and_size_are_announced(disk, tmp_path, capsys):
    disk(7_000_000)
    announce(tmp_path / "not/yet/there", 3600, 5_000_000, limit=True)
    announce(tmp_path, 20, 0)
    announce(tmp_path, 40_000, 0)
    assert capsys.readouterr().err.splitlines() == [
        "at most 60 minutes; 5 MB to write, 7 MB free",
        "about 20 seconds; 0 MB to write, 7 MB free",
        "about 11 hours; 0 MB to write, 7 MB free",
    ]
    with pytest.raises(EnvironmentFailure, match="7 MB free, and 8 MB are needed"):
        announce(tmp_path, 20, 8_000_000)
    disk(16_000)
    with pytest.raises(EnvironmentFailure, match=r"0\.02 MB free, and 0\.1 MB are needed"):
        announce(tmp_path, 20, 100_000)


def test_a_forecast_is_measured_on_the_first_seconds(disk, clock, tmp_path, capsys):
    disk(10**9)
    forecast = Forecast(tmp_path, 1000)
    forecast.update(0)
    clock[0] += 30  # the start does not count
    forecast.update(10)
    (tmp_path / "shard").write_bytes(bytes(2_000_000))
    clock[0] += 4
    forecast.update(30)
    assert capsys.readouterr().err == ""
    clock[0] += 6
    forecast.update(60)  # 50 units in 10 s and 2 MB; 940 remain
    forecast.update(61)
    assert capsys.readouterr().err == "about 3 minutes; 38 MB to write, 1000 MB free\n"


def test_a_forecast_refuses_a_disk_that_is_too_small(disk, clock, tmp_path):
    disk(10_000_000)
    forecast = Forecast(tmp_path, 1000)
    forecast.update(1)
    (tmp_path / "shard").write_bytes(bytes(1_000_000))
    clock[0] += 5
    with pytest.raises(EnvironmentFailure, match="10 MB free, and 99 MB are needed"):
        forecast.update(11)


def fail(out, has_results):
    with pytest.raises(InputError), removed_on_failure(out, lambda: has_results):
        open_run(out, {"steps": 3}, resume=True)
        (out / "part").mkdir()
        (out / "part/file").touch()
        raise InputError("no")


def test_a_failure_without_results_leaves_nothing_behind(tmp_path):
    fail(tmp_path / "new", False)
    assert not (tmp_path / "new").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/precious").touch()
    fail(tmp_path / "mine", False)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["precious"]


def test_a_failure_with_results_keeps_them(tmp_path):
    fail(tmp_path / "new", True)
    assert (tmp_path / "new/part/file").exists()


def test_a_lock_that_is_left_behind_is_no_content(tmp_path):
    (tmp_path / ".lock").touch()
    assert new_folder(tmp_path) == tmp_path


def test_a_size_that_is_known_is_not_measured(disk, clock, tmp_path, capsys):
    disk(10**9)
    forecast = Forecast(tmp_path, 100, written=3e6)
    for done in (1, 51):
        forecast.update(done)
        clock[0] += 10
    assert capsys.readouterr().err == "about 10 seconds; 3 MB to write, 1000 MB free\n"


def test_space_that_is_reserved_is_not_needed_again(disk, clock, tmp_path, capsys):
    disk(10**6)
    forecast = Forecast(tmp_path, 100, written=3e9, reserved=True)
    for done in (1, 51):
        forecast.update(done)
        clock[0] += 10
    assert capsys.readouterr().err == "about 10 seconds; 3000 MB reserved, 1 MB free\n"
