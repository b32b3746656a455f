"""Output folders of commands: created once, resumed with equal settings only."""

import contextlib
import dataclasses
import os
import shutil
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from opendactyl.core.atomic_files import read_json, write_json
from opendactyl.core.errors import EnvironmentFailure, InputError, file_error, file_errors
from opendactyl.core.optional_files import exists

CONFIG_NAME = "config.json"
LOCK_NAME = ".lock"
"""A lock file, which is no content of a folder: it stays when a command fails."""


def new_folder(out: str | Path, *, resume: bool | None = False) -> Path:
    """Creates the folder `out`, or accepts it when it is empty or `resume` is set.

    Args:
        out: the folder.
        resume: whether it may have contents; None: no, and the command has no option for it.

    Raises:
        InputError: `out` is a file, cannot be created, or is not empty and `resume` is not set.
        EnvironmentFailure: the disk failed.
    """
    out = Path(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        empty = all(path.name == LOCK_NAME for path in out.iterdir())
    except OSError as error:
        raise file_error(f"cannot use the folder {out}", error, "name another") from error
    if not resume and not empty:
        how = "" if resume is None else "continue it with --resume, "
        raise InputError(
            f"{out} exists and is not empty; {how}name another folder, or delete it first"
        )
    return out


def announce(
    out: Path, seconds: float, written: float, *, limit: bool = False, reserved: bool = False
) -> None:
    """Says how long a command will take and how much it will write; refuses if the disk has less.

    Args:
        out: the folder that it writes to.
        seconds: the expected time.
        written: the bytes that it will still write there.
        limit: whether `seconds` is an upper limit.
        reserved: whether the disk has the space for these bytes set aside.

    Raises:
        EnvironmentFailure: the disk has less space.
    """
    while not exists(out):
        out = out.parent
    with file_errors(f"cannot use {out}"):
        free = shutil.disk_usage(out).free
    what = "reserved" if reserved else "to write"
    sizes = f"{_megabytes(written)} {what}, {_megabytes(free)} free"
    duration = f"{'at most' if limit else 'about'} {_duration(seconds)}"
    print(f"{duration}; {sizes}", file=sys.stderr, flush=True)
    if written > free and not reserved:
        raise EnvironmentFailure(
            f"the disk of {out} has {_megabytes(free)} free, and {_megabytes(written)} are "
            "needed; make free space, or name a folder on another disk"
        )


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 3 * 3600 else f"{seconds / 3600:.0f} hours"


def _megabytes(size: float) -> str:
    return f"{size / 1e6:.0f} MB" if size >= 1e6 else f"{size / 1e6:.1g} MB"


def size_of(folder: Path) -> int:
    """Bytes of the files in a folder and its subfolders, unfinished ones included."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # a finished file has just been renamed
                total += (Path(parent) / name).stat().st_size
    return total


class Forecast:
    """Announces time and size of a command's work, measured on its first seconds."""

    def __init__(
        self, out: Path, total: int, after: float = 5.0, written: float | None = None,
        *, reserved: bool = False,
    ) -> None:  # fmt: skip
        """Starts measuring with the first unit that is done.

        Args:
            out: the folder that the work is written to.
            total: units of work to do, such as samples.
            after: seconds to measure.
            written: bytes of the whole work; None: measured, if the work writes as it proceeds.
            reserved: see `announce`.
        """
        self._out, self._total, self._after, self._written = out, total, after, written
        self._reserved = reserved
        self._first: tuple[float, int, int] | None = None
        self._announced = False

    def update(self, done: int) -> None:
        """Takes note of the units done so far; announces once.

        Raises:
            EnvironmentFailure: the disk has less space than the rest will take.
        """
        if self._announced or not done:
            return
        now = time.monotonic()
        if self._first is None:
            self._first = now, done, size_of(self._out)
            return
        began, units, size = self._first
        if now - began < self._after or done == units:
            return
        self._announced = True
        remaining = (self._total - done) / (done - units)
        written = remaining * (size_of(self._out) - size)
        if self._written is not None:
            written = self._written
        announce(self._out, remaining * (now - began), written, reserved=self._reserved)


@contextmanager
def removed_on_failure(
    out: Path, has_results: Callable[[], bool] = lambda: False
) -> Iterator[None]:
    """Removes what the block added to a folder if it fails before it has results.

    So that the corrected command can be started again without --resume.

    Args:
        out: the folder; it is removed as well if it was absent before.
        has_results: whether the folder has results that --resume can continue from; by default it
            has none.
    """
    existed = exists(out)
    before = set(out.iterdir()) if existed else set()
    try:
        yield
    except BaseException:
        if not has_results() and exists(out):
            for path in set(out.iterdir()) - before:
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            if not existed:
                out.rmdir()
        raise


def open_run(
    out: str | Path, config: dict[str, Any], *, resume: bool, names: Collection[str] = ()
) -> Path:
    """Opens a run folder and writes `config` into it.

    Args:
        out: the folder.
        config: the resolved settings, JSON-able (see `to_plain`).
        resume: continue an existing run, which must have equal settings.
        names: settings that may differ, since others tell what they name.

    Raises:
        InputError: the folder is not empty and `resume` is not set, or it holds other settings.
    """
    out = new_folder(out, resume=resume)
    path = out / CONFIG_NAME
    if exists(path):
        old = read_json(path)
        if not isinstance(old, dict):
            raise InputError(f"{path} contains no settings; delete it, or name another folder")
        old, new = ({k: v for k, v in c.items() if k not in names} for c in (old, config))
        check_same(old, new, path)
    else:
        write_json(path, config)
    return out


def check_same(old: dict[str, Any], new: dict[str, Any], path: Path) -> None:
    """Raises an `InputError` that names every setting in which two configurations differ."""
    differing = [
        f"{key}: {old.get(key, 'absent')!r} there, {new.get(key, 'absent')!r} now"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]
    if differing:
        raise InputError(
            f"{path} was written with other settings ({'; '.join(differing)}); "
            "use the same, or another folder"
        )


def to_plain(value: Any) -> Any:
    """Converts dataclasses, paths, tuples and numpy values to JSON types.

    Fields made by `config_fields.renamed` keep their former name as key; those of `randomized` that
    are optional are left out while they have their default.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [
            f
            for f in dataclasses.fields(value)
            if not (f.metadata.get("optional") and getattr(value, f.name) == f.default)
        ]
        return {f.metadata.get("key", f.name): to_plain(getattr(value, f.name)) for f in fields}
    if isinstance(value, dict):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist") and not isinstance(value, type):
        return value.tolist()
    return value
