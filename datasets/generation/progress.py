"""Progress of an unfinished dataset, shard by shard, and the lock on its folder.

Imports neither MuJoCo nor GL.
"""

import contextlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from filelock import FileLock, Timeout

from opendactyl.core.atomic_files import write_json
from opendactyl.core.errors import EnvironmentFailure, InputError, file_error
from opendactyl.core.optional_files import read_json_optional
from opendactyl.core.run_dir import LOCK_NAME, Forecast
from opendactyl.datasets.format.shards import shard_name
from opendactyl.datasets.generation.config import GENERATION_VERSION, LIBRARIES

if TYPE_CHECKING:
    from tqdm import tqdm

PROGRESS_NAME = ".shards.json"
"""Checksums of the finished shards, and what generated them."""
LIFETIME = {"filament": 8}
"""Shards after which a process is replaced, by renderer: Filament accumulates memory, with which it
slows down, and closing it does not free all."""


class FinishedShard(NamedTuple):
    """What a worker reports of a shard it has written."""

    number: int
    sha256: str
    graphics: dict[str, str]
    """The OpenGL driver that rendered it, see `ShardMaker.graphics`."""


FinishedShards = Generator[FinishedShard, None, None]


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Holds a lock on a dataset's folder, which the kernel releases when the process dies.

    Raises:
        InputError: the folder is not writable, or another process is writing to it.
        EnvironmentFailure: the disk is full or failed.
    """
    # A soft lock would survive the death of its process.
    held = FileLock(folder / LOCK_NAME, blocking=False, fallback_to_soft=False)
    try:
        held.acquire()
    except Timeout as error:
        raise InputError(
            f"another process is writing {folder}; wait for it, or name another folder"
        ) from error
    except OSError as error:
        remedy = "name a folder that is writable"
        raise file_error(f"cannot write to {folder}", error, remedy) from error
    try:
        _remove_temporary_files(folder)  # left by a process that was killed
        yield
    finally:
        _remove_temporary_files(folder)
        held.release()


def _remove_temporary_files(folder: Path) -> None:
    for path in folder.glob(".*.tmp"):
        with contextlib.suppress(OSError):
            path.unlink()


def reporter(bar: "tqdm[Any]", done: int, forecast: Forecast) -> Callable[[int], None]:
    """The function that shows the number of samples made, beyond those `done` before."""

    def report(made: int) -> None:
        forecast.update(made)
        bar.n = min(done + made, bar.total)
        bar.refresh()

    return report


def check_same_versions(made_with: dict[str, Any], installed: dict[str, str], out: Path) -> None:
    """Raises an `InputError` if other versions made the shards in `out` than are installed."""
    if made_with != installed:
        raise InputError(
            f"{out} was begun with {made_with}, installed is {installed}; "
            "finish it with those, or delete it and start again"
        )


@dataclass
class Progress:
    """The finished shards of a dataset; each new one is recorded on disk at once."""

    out: Path
    versions: dict[str, str]
    """Library versions, see `ResolvedConfig.versions`."""
    sums: dict[str, str] = field(default_factory=dict)
    """SHA-256 of the finished shards by file name."""
    graphics: dict[str, str] | None = None
    """The OpenGL driver of all of them; None before the first, or if it was not recorded."""

    @classmethod
    def read(cls, out: Path, versions: dict[str, str]) -> "Progress":
        """Reads the progress of the dataset in `out`; without a whole file nothing is finished.

        Raises:
            InputError: the finished shards came from other versions, or may not be read.
            EnvironmentFailure: the disk failed.
        """
        match read_json_optional(out / PROGRESS_NAME):
            case {
                "made_with": dict(made_with), "shards": dict(sums), "generation": version,
                "gl": dict(graphics),
            }:  # fmt: skip
                check_generation(version, out)
                installed = versions
            case {"made_with": dict(made_with), "shards": dict(sums)}:  # OpenDactyl 0.1.0
                graphics, installed = None, {name: versions[name] for name in LIBRARIES}
            case _:
                return cls(out, versions)
        check_same_versions(made_with, installed, out)
        return cls(out, versions, sums, graphics)

    def check_driver_is_recorded(self) -> None:
        """Raises an `InputError` if shards are finished and their OpenGL driver is unknown."""
        if self.sums and self.graphics is None:
            raise InputError(
                f"{self.out} was begun by an earlier version of OpenDactyl, which did not record "
                "its OpenGL driver; finish it with that version, or delete it and start again"
            )

    def add(self, shard: FinishedShard) -> None:
        """Records a finished shard.

        Raises:
            EnvironmentFailure: another OpenGL driver rendered it than the shards before, which
                may change bytes, or the disk is full.
        """
        name = shard_name(shard.number)
        if self.graphics not in (None, shard.graphics):
            raise EnvironmentFailure(
                f"{name} was rendered with {_text(shard.graphics)}, the other shards of {self.out} "
                f"with {_text(self.graphics)}; their bytes would differ: finish it on machines "
                "with one OpenGL driver, or delete it and start again"
            )
        self.graphics = shard.graphics
        self.sums[name] = shard.sha256
        value = {
            "made_with": self.versions,
            "shards": self.sums,
            "generation": GENERATION_VERSION,
            "gl": self.graphics,
        }
        write_json(self.out / PROGRESS_NAME, value)


def _text(graphics: dict[str, str] | None) -> str:
    return ", ".join((graphics or {}).values()) or "another renderer"


def check_generation(version: object, out: Path) -> None:
    """Raises an `InputError` unless the shards in `out` are of this `GENERATION_VERSION`."""
    if str(version) != str(GENERATION_VERSION):
        raise InputError(
            f"{out} is of version {version} of the generation, this OpenDactyl generates version "
            f"{GENERATION_VERSION}, with other bytes; finish or repair it with the OpenDactyl that "
            "began it, or delete it and start again"
        )
