"""A file that cannot be read is an error: it is not treated as missing, and nothing is replaced."""

import errno
import io
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

from opendactyl.core.errors import EnvironmentFailure, InputError
from opendactyl.core.optional_files import exists, read_json_optional
from opendactyl.datasets.format.manifest import load_manifest
from opendactyl.datasets.format.shards import read_shard
from opendactyl.datasets.generation.generate import DatasetConfig, generate, repair
from opendactyl.datasets.generation.verify import verify

KINDS = {errno.EIO: EnvironmentFailure, errno.EACCES: InputError}
SHARD = "shard-000001.tar"


def config(out, **options):
    settings = {"num_samples": 12, "seed": 0, "shard_size": 4, "image_size": 64, "workers": 1}
    settings["rig"] = "dactyl-200"
    return DatasetConfig(out=out, resume=True, **settings | options)


@pytest.fixture
def refuse(monkeypatch):
    """Within the context, reads of files of one name fail with an errno."""

    @contextmanager
    def refuse(name, number):
        original = io.open

        def open_unless_refused(file, mode="r", *args, **options):
            if isinstance(file, Path) and file.name == name and "r" in mode:
                raise OSError(number, "refused")
            return original(file, mode, *args, **options)

        with monkeypatch.context() as patch:
            patch.setattr(io, "open", open_unless_refused)
            yield

    return refuse


def content(folder):
    return {
        path.name: (path.stat().st_ino, path.read_bytes())
        for path in folder.iterdir()
        if path.is_file() and path.name != ".lock"
    }


@pytest.mark.parametrize("number", KINDS)
@pytest.mark.parametrize(
    "name", ["manifest.json", ".shards.json", "config.json", SHARD, ".uploads.json"]
)
def test_resuming_replaces_nothing(copy, tmp_path, refuse, name, number):
    options = {"upload": f"file://{tmp_path / 'store'}"} if name == ".uploads.json" else {}
    generate(config(copy, **options))
    if name == ".shards.json":
        (copy / "manifest.json").unlink()
    before = content(copy)
    with (
        refuse(name, number),
        pytest.raises(KINDS[number], match=f"cannot read .*{name}"),
    ):
        generate(config(copy, **options))
    assert content(copy) == before


@pytest.mark.parametrize("number", KINDS)
def test_readers_do_not_report_a_missing_or_damaged_dataset(copy, refuse, number):
    for reader in (load_manifest, verify, repair):
        with (
            refuse("manifest.json", number),
            pytest.raises(KINDS[number], match="cannot read") as refused,
        ):
            reader(copy)
        for advice in ("is missing", "delete", "--resume"):
            assert advice not in str(refused.value)
    for reader in (repair, lambda folder: list(read_shard(folder / SHARD))):
        with refuse(SHARD, number), pytest.raises(KINDS[number], match=f"cannot read .*{SHARD}"):
            reader(copy)


def test_a_folder_in_place_of_a_file_is_an_error(copy):
    (copy / "manifest.json").unlink()
    (copy / "manifest.json").mkdir()
    shutil.rmtree(copy / ".cache", ignore_errors=True)
    before = content(copy)
    with pytest.raises(InputError, match="Is a directory"):
        generate(config(copy))
    assert content(copy) == before


def test_only_a_path_that_does_not_exist_is_absent(copy, monkeypatch):
    assert exists(copy) and exists(copy / "manifest.json")
    for absent in (copy / "other.json", copy / "manifest.json" / "below"):
        assert not exists(absent)
        assert read_json_optional(absent) is None
    assert read_json_optional(copy / SHARD) is None  # damaged: not JSON

    def fail(*_, **__):
        raise PermissionError(errno.EACCES, "refused")

    monkeypatch.setattr(Path, "stat", fail)
    with pytest.raises(InputError, match="cannot access"):
        exists(copy / "manifest.json")
