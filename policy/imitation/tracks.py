"""Tracks of poses: what a demonstration is to the imitation network, kept on disk in shards."""

import math
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from opendactyl.core.atomic_files import open_atomic
from opendactyl.core.errors import InputError
from opendactyl.core.optional_files import exists
from opendactyl.geometry.rotation import Array
from opendactyl.policy.imitation.programs import Program

SHARD = 128
"""Tracks per shard."""


@dataclass(frozen=True, eq=False)
class Track:
    """The object's orientation during a demonstration."""

    program: Program
    quaternions: Array
    """(T, 4), one every control period."""
    waypoints: NDArray[np.int64]
    """Indices (K + 1,) of the poses from which the K actions and the end were begun."""


Demonstrate = Callable[[int, int], list[Track]]
"""Makes tracks, given a seed and a number: it may return fewer, without those that failed."""


@dataclass(frozen=True, eq=False)
class Demonstrator:
    """Who demonstrates, and how well it is seen."""

    demonstrate: Demonstrate
    """Makes tracks in batched physics."""
    noise: Array
    """Covariance (3, 3) of the estimated rotation vector, hand frame."""
    identity: str
    """SHA-256 of the bundle whose policy acts; a resumed run needs the same."""


class TrackStore:
    """Tracks in the files of a folder; shard i depends on (seed, i) only."""

    def __init__(self, folder: Path, seed: int) -> None:
        """Opens a folder, which need not exist."""
        self._folder, self._seed = folder, seed

    @property
    def shards(self) -> list[Path]:
        """The files, in order."""
        return sorted(self._folder.glob("tracks-*.npz"))

    def missing(self, tracks: int) -> list[int]:
        """Numbers of the shards that are missing of `tracks` demonstrations."""
        numbers = range(math.ceil(tracks / SHARD))
        return [number for number in numbers if not exists(self._path(number))]

    def add(self, demonstrate: Demonstrate, number: int, count: int = SHARD) -> None:
        """Makes shard `number`.

        Raises:
            InputError: no demonstration succeeded, or the folder cannot be written to.
            EnvironmentFailure: the disk failed.
        """
        tracks = demonstrate(self._seed * 1_000_000 + number, count)
        if not tracks:
            raise InputError(
                f"none of {count} demonstrations carried out its program; use a --bundle of task "
                "reorient, or raise --tracks"
            )
        write_tracks(self._path(number), tracks)

    def load(self) -> list[Track]:
        """All tracks."""
        return [track for path in self.shards for track in read_tracks(path)]

    def _path(self, number: int) -> Path:
        return self._folder / f"tracks-{number:05d}.npz"


def write_tracks(path: Path, tracks: Sequence[Track]) -> None:
    """Writes tracks to a file, atomically."""
    arrays = {
        "steps": np.array([" ".join(t.program.steps) for t in tracks]),
        "lengths": np.array([len(t.quaternions) for t in tracks]),
        "counts": np.array([len(t.waypoints) for t in tracks]),
        "quaternions": np.concatenate([t.quaternions for t in tracks]).astype(np.float32),
        "waypoints": np.concatenate([t.waypoints for t in tracks]),
    }
    with open_atomic(path) as file:
        np.savez(file, **arrays)


def read_tracks(path: Path) -> list[Track]:
    """The tracks of a file.

    Raises:
        InputError: the file is not one of `write_tracks`.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            quaternions = np.split(
                arrays["quaternions"].astype(np.float64), np.cumsum(arrays["lengths"])[:-1]
            )
            waypoints = np.split(arrays["waypoints"], np.cumsum(arrays["counts"])[:-1])
            texts = arrays["steps"].tolist()
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} holds no tracks ({error}); delete it and resume") from error
    return [
        Track(Program(split_steps(text)), q, w)
        for text, q, w in zip(texts, quaternions, waypoints, strict=True)
    ]


def split_steps(text: str) -> tuple[str, ...]:
    """The steps in the text of a program."""
    words, steps = text.split(), []
    while words:
        count = 1 if words[0] in ("then", "back") else 2
        steps.append(" ".join(words[:count]))
        words = words[count:]
    return tuple(steps)
