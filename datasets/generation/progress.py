"""What of a dataset is finished, shard by shard, and which process may write it."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from opendactyl.core.atomic_files import read_json, write_json
from opendactyl.core.errors import InputError
from opendactyl.datasets.format.manifest import MANIFEST_NAME, load_manifest
from opendactyl.datasets.generation.config import library_versions

JOURNAL_NAME = ".shards.json"
"""Checksums of the shards finished so far: what is not in it, or differs, is made again."""


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Holds a lock that the kernel releases when the process dies.

    Raises:
        InputError: the folder cannot be written, or another process is writing it.
    """
    try:
        file = (folder / ".lock").open("w")
    except OSError as error:
        raise InputError(
            f"cannot write to {folder}: {error.strerror}; name a folder that is writable"
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(
                f"another process is writing {folder}; wait for it, or name another folder"
            ) from error
        _clear(folder)  # what a process that was killed had begun to write
        try:
            yield
        finally:
            _clear(folder)


def _clear(folder: Path) -> None:
    for leftover in folder.glob(".*.tmp"):
        leftover.unlink(missing_ok=True)


def checksums_promised(out: Path) -> dict[str, str]:
    """The checksums of a finished dataset's manifest; none when there is no whole manifest."""
    try:
        read_json(out / MANIFEST_NAME)
    except InputError:
        return {}
    return {shard.name: shard.sha256 for shard in load_manifest(out).shards}


def checksums_so_far(out: Path) -> dict[str, str]:
    """Checksums of the shards that are finished.

    Raises:
        InputError: they were made with other versions: not all shards would be alike.
    """
    try:
        value = read_json(out / JOURNAL_NAME)
    except InputError:
        return {}
    if not isinstance(value, dict) or set(value) != {"made_with", "shards"}:
        return {}
    if value["made_with"] != library_versions():
        raise InputError(
            f"{out} was begun with {value['made_with']}, installed is {library_versions()}; "
            "finish it with those, or delete it and begin anew"
        )
    return value["shards"]


def enter(out: Path, sums: dict[str, str]) -> None:
    """Writes down the checksums, by name, of all shards finished so far."""
    write_json(out / JOURNAL_NAME, {"made_with": library_versions(), "shards": sums})
