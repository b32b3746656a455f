"""Disks that are full or read-only: the error names the remedy, and the dataset resumes."""

import shutil
import subprocess

import pytest

from opendactyl.core.errors import EnvironmentFailure, InputError
from opendactyl.datasets.format.manifest import load_manifest
from opendactyl.datasets.generation.generate import DatasetConfig, generate, repair
from opendactyl.datasets.generation.verify import verify
from opendactyl.datasets.loading.cache import open_dataset

SHARDS = ("shard-000000.tar", "shard-000001.tar", "shard-000002.tar")


def config(out, **options):
    settings = {"num_samples": 12, "seed": 0, "shard_size": 4, "image_size": 64, "workers": 1}
    settings["rig"] = "dactyl-200"
    return DatasetConfig(out=out, **settings | options)


@pytest.fixture
def small_disk(tmp_path):
    """Mounts a tmpfs with the given options, and remounts it when called again."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options):
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            pytest.skip(f"a small disk cannot be mounted here: {result.stderr.strip()}")
        return folder

    yield mount
    subprocess.run(["umount", "--lazy", folder], check=False, capture_output=True)


def same_shards(folder, dataset):
    return all((folder / n).read_bytes() == (dataset / n).read_bytes() for n in SHARDS)


@pytest.mark.usefixtures("worker_processes")
def test_a_full_disk_is_an_error_and_resumes(dataset, small_disk):
    size = (dataset / SHARDS[0]).stat().st_size
    folder = small_disk(f"size={size + size // 2}")
    # Slow machines measure the first seconds before the disk is full.
    with pytest.raises(EnvironmentFailure, match=r"No space left|are needed"):
        generate(config(folder / "data"))
    assert not (folder / "data" / "manifest.json").exists()
    assert not list((folder / "data").glob(".*.tmp"))
    small_disk("remount,size=50m")
    generate(config(folder / "data", resume=True))
    assert same_shards(folder / "data", dataset)
    assert load_manifest(folder / "data").shards == load_manifest(dataset).shards


def test_a_read_only_folder_is_an_error(dataset, small_disk):
    folder = small_disk("size=50m")
    shutil.copytree(dataset, folder / "data", ignore=shutil.ignore_patterns(".cache"))
    small_disk("remount,ro")
    for attempt in (
        lambda: generate(config(folder / "data", resume=True)),
        lambda: generate(config(folder / "new")),
        lambda: repair(folder / "data"),
        lambda: open_dataset(folder / "data", 32),
    ):
        with pytest.raises(InputError, match="Read-only file system"):
            attempt()
    assert verify(folder / "data") == []


def test_a_disk_too_full_to_decode_to_is_an_error(dataset, small_disk):
    folder = small_disk("size=1m")
    shutil.copytree(dataset, folder / "data", ignore=shutil.ignore_patterns(".cache"))
    (folder / "filler").write_bytes(bytes(300_000))
    with pytest.raises(EnvironmentFailure, match="No space left"):
        open_dataset(folder / "data", 64)
    (folder / "filler").unlink()
    assert len(open_dataset(folder / "data", 64)) == 12
