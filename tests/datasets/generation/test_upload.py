"""Copies of a dataset in an object store."""

import errno
import json

import fsspec
import pytest

from opendactyl.cli.main import main
from opendactyl.core.atomic_files import sha256
from opendactyl.core.errors import EnvironmentFailure, InputError
from opendactyl.datasets.format.shards import shard_name
from opendactyl.datasets.generation import local_workers
from opendactyl.datasets.generation.generate import DatasetConfig, generate
from opendactyl.datasets.generation.shard_builder import ShardMaker


def config(out, **options):
    settings = {"num_samples": 12, "seed": 0, "shard_size": 4, "image_size": 64, "workers": 1}
    settings["rig"] = "dactyl-200"
    return DatasetConfig(out=out, resume=True, **settings | options)


@pytest.fixture
def store():
    """An object store in memory."""
    store = fsspec.filesystem("memory")
    yield store
    if store.exists("/bucket"):
        store.rm("/bucket", recursive=True)


def test_the_manifest_is_copied_last(copy, store, monkeypatch):
    put = []
    original = type(store).put_file

    def record(self, local, remote, **options):
        put.append(str(remote).rsplit("/", 1)[-1])
        return original(self, local, remote, **options)

    monkeypatch.setattr(type(store), "put_file", record)
    generate(config(copy, upload="memory://bucket/data"))
    names = sorted(path.name for path in copy.iterdir() if not path.name.startswith("."))
    assert sorted(put) == names
    assert put[-1] == "manifest.json"
    for name in names:
        assert store.cat(f"/bucket/data/{name}") == (copy / name).read_bytes()
    # The second time only files that may have changed, and a shard that the store has lost.
    put.clear()
    store.rm("/bucket/data/shard-000001.tar")
    generate(config(copy, upload="memory://bucket/data"))
    assert [name for name in put if name.endswith(".tar")] == ["shard-000001.tar"]


def test_other_shards_of_the_same_size_are_replaced(copy, store):
    """Tar files come in steps of 10 kB, so equal sizes do not imply equal bytes."""
    for path in copy.glob("*.tar"):
        store.pipe(f"/bucket/data/{path.name}", bytes(path.stat().st_size))
    generate(config(copy, upload="memory://bucket/data"))
    for path in copy.glob("*.tar"):
        assert store.cat(f"/bucket/data/{path.name}") == path.read_bytes()


def test_a_repaired_shard_is_copied_after_its_checksum_was_compared(copy, store, monkeypatch):
    generate(config(copy, upload="memory://bucket/data"))
    whole = store.cat("/bucket/data/shard-000001.tar")
    write = ShardMaker.write

    def other(maker, number, report):
        shard = write(maker, number, report)
        path = copy / shard_name(number)
        path.write_bytes(path.read_bytes() + bytes(512))
        return shard._replace(sha256=sha256(path))

    monkeypatch.setattr(local_workers, "can_start_workers", lambda *_: False)
    monkeypatch.setattr(ShardMaker, "write", other)
    (copy / "shard-000001.tar").write_bytes(b"damaged")
    with pytest.raises(InputError, match="another checksum"):
        generate(config(copy, upload="memory://bucket/data"))
    assert store.cat("/bucket/data/shard-000001.tar") == whole


def test_a_wrong_url_is_an_error(copy):
    with pytest.raises(InputError, match="fsspec URL"):
        generate(config(copy, upload="nowhere://bucket"))
    (copy / "file").write_text("")
    with pytest.raises(InputError, match="continue with --resume"):
        generate(config(copy, upload=f"file://{copy}/file/below"))


@pytest.mark.parametrize("error", [OSError(errno.EIO, "I/O error"), ConnectionError("reset")])
def test_a_failing_store_is_a_failure_of_the_environment(copy, store, monkeypatch, error):
    def fail(*_, **__):
        raise error

    for method in ("put_file", "size"):
        with monkeypatch.context() as patch:
            patch.setattr(type(store), method, fail)
            with pytest.raises(EnvironmentFailure, match=r"memory://bucket.*--resume"):
                generate(config(copy, upload="memory://bucket/data"))
        generate(config(copy, upload="memory://bucket/data"))


def test_a_damaged_record_of_copies_is_replaced(copy, store):
    generate(config(copy, upload="memory://bucket/data"))
    record = (copy / ".uploads.json").read_bytes()
    (copy / ".uploads.json").write_bytes(record[:40])
    generate(config(copy, upload="memory://bucket/data"))
    assert (copy / ".uploads.json").read_bytes() == record


def test_train_and_val_are_copied_side_by_side(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = "dataset --num-samples 10 --shard-size 5 --image-size 32 --workers 1 --upload"
    with pytest.raises(SystemExit) as stop:
        main([*words.split(), "memory://bucket/data"])
    assert stop.value.code == 0
    for part in ("train", "val"):
        local = json.loads((tmp_path / "data" / part / "manifest.json").read_text())
        assert json.loads(store.cat(f"/bucket/data/{part}/manifest.json")) == local
        for shard in local["shards"]:
            assert store.exists(f"/bucket/data/{part}/{shard['name']}")
