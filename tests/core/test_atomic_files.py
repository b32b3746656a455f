"""Writes are complete or absent, even after an error or a kill."""

import hashlib
import json
import multiprocessing
import os
import resource
import signal
import time

import numpy as np
import pytest

from opendactyl.core import atomic_files as atomic
from opendactyl.core.errors import EnvironmentFailure, InputError
from opendactyl.core.run_dir import to_plain


def test_bytes_text_and_json_can_be_read_back(tmp_path):
    atomic.write_bytes(tmp_path / "new" / "folder" / "a", b"\x00\xff")
    assert (tmp_path / "new" / "folder" / "a").read_bytes() == b"\x00\xff"
    atomic.write_text(tmp_path / "b", "ü×")
    assert (tmp_path / "b").read_text(encoding="utf-8") == "ü×"
    value = {"z": [1, 2.5, None], "a": {"ü": "×"}}
    atomic.write_json(tmp_path / "c.json", value)
    assert atomic.read_json(tmp_path / "c.json") == value
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b", "c.json", "new"]


def test_json_is_sorted_indented_and_ends_with_a_newline(tmp_path):
    atomic.write_json(tmp_path / "a.json", {"b": 1, "a": 2})
    assert (tmp_path / "a.json").read_text() == '{\n  "a": 2,\n  "b": 1\n}\n'


@pytest.mark.parametrize("value", [float("nan"), [float("inf")], {"a": -float("inf")}])
def test_values_outside_json_are_refused_and_the_old_file_stays(tmp_path, value):
    path = tmp_path / "a.json"
    atomic.write_json(path, 1)
    with pytest.raises(ValueError, match="JSON compliant"):
        atomic.write_json(path, value)
    assert atomic.read_json(path) == 1


@pytest.mark.parametrize(
    "text",
    ["", "{", '{"a": NaN}', "[Infinity]", "[" * 100_000, '{"a": 1}}', "1" * 5000, "\udcff"],
    ids=["empty", "cut", "nan", "infinity", "deep", "more", "huge", "not utf-8"],
)
def test_broken_json_is_named(tmp_path, text):
    path = tmp_path / "broken.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(InputError, match=r"broken\.json is not valid JSON") as caught:
        atomic.read_json(path)
    assert "\n" not in str(caught.value)


def test_missing_files_are_named(tmp_path):
    for read in (atomic.read_json, atomic.sha256):
        with pytest.raises(InputError, match=r"cannot read .*gone.*No such file"):
            read(tmp_path / "gone")


def test_a_folder_that_cannot_be_written_is_named_and_nothing_is_left(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot write"):
        atomic.write_text(tmp_path / "file" / "below", "y")
    (tmp_path / "taken").mkdir()
    with pytest.raises(InputError, match="cannot write"):
        atomic.write_text(tmp_path / "taken", "y")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "taken"]


def test_a_full_disk_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a"
    atomic.write_text(path, "old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EnvironmentFailure, match=r"No space left on device.*free space"):
        atomic.write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_in_the_block_is_one_of_the_file(tmp_path):
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(EnvironmentFailure, match=r"cannot write .*a: File too large"):
            atomic.write_bytes(tmp_path / "a", bytes(100_000))
        with pytest.raises(EnvironmentFailure, match=r"cannot write .*a: File too large"):
            atomic.write_bytes(tmp_path / "a", bytes(2000))  # buffered until the end
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert not list(tmp_path.iterdir())


def test_other_errors_of_the_block_pass(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"palm\.stl"), atomic.open_atomic(tmp_path / "a"):
        (tmp_path / "palm.stl").read_bytes()
    assert not list(tmp_path.iterdir())


def _write_forever(path):
    number = 0
    while True:
        atomic.write_json(path, [number] * 20_000)
        number += 1


def test_a_killed_writer_leaves_a_complete_file(tmp_path):
    path = tmp_path / "a.json"
    atomic.write_json(path, [-1] * 20_000)
    context = multiprocessing.get_context("fork")
    for delay in np.random.default_rng(0).uniform(0.0, 0.05, 15):
        process = context.Process(target=_write_forever, args=(path,))
        process.start()
        time.sleep(delay)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert len(set(atomic.read_json(path))) == 1


def test_checksums(tmp_path):
    data = os.urandom(3_000_000)
    atomic.write_bytes(tmp_path / "a", data)
    assert atomic.sha256(tmp_path / "a") == hashlib.sha256(data).hexdigest()


def test_json_hash_depends_only_on_the_content():
    a = atomic.json_hash({"x": 1, "y": [1.5, "ü"]})
    assert a == atomic.json_hash({"y": [1.5, "ü"], "x": 1})
    assert a != atomic.json_hash({"x": 1, "y": [1.5, "u"]})
    with pytest.raises(ValueError):
        atomic.json_hash(float("nan"))


def test_numpy_values_become_plain(tmp_path):
    value = to_plain({"a": np.float32(0.5), "b": np.arange(3), "c": (np.int64(2),)})
    assert json.dumps(value) == '{"a": 0.5, "b": [0, 1, 2], "c": [2]}'


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_permissions_follow_the_umask(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        atomic.write_text(tmp_path / "a", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == mode
