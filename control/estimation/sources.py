"""The frames to estimate poses from: which files belong to which camera."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from opendactyl.control.recordings.cameras import VIDEOS, Recording, open_recording
from opendactyl.control.runtime.interfaces import Views
from opendactyl.core.errors import InputError, file_error
from opendactyl.core.optional_files import exists
from opendactyl.datasets.foreign.pictures import PICTURES, pictures_in

SHOWN = 8
"""Largest number of files that a message names."""


@dataclass(frozen=True, eq=False)
class FrameSet:
    """Simultaneous frames of all cameras."""

    label: str
    """Its name in messages and results."""
    seconds: float | None
    """Its time, of videos and live cameras."""
    views: Views
    """One frame per camera; None where there is none, or it cannot be read."""


class RecordedFrames:
    """The frame sets of pictures or videos."""

    def __init__(self, images: Sequence[Path], names: Sequence[str]) -> None:
        """Finds and matches the files.

        Args:
            images: a folder with `CAMERA.png`, `CAMERA/0000.png …` or `CAMERA.mp4` for each
                camera, or these files and folders themselves.
            names: the cameras.

        Raises:
            InputError: a camera has no frames, or they cannot be read or matched.
            EnvironmentFailure: the disk failed.
        """
        where = " ".join(map(str, images))
        sources, ignored = find_sources(images, names)
        self.notes = [f"ignored {_listed(ignored)}"] if ignored else []
        """What the user should know about the files, in lines."""
        self._recording = open_recording(sources, names, where)
        self.count = self._used(self._recording, names)
        """Number of frame sets."""
        self.still = self.count == 1
        """Whether there is a single moment."""

    def _used(self, recording: Recording, names: Sequence[str]) -> int:
        """The number of rows up to the end of the shortest video; says if others are longer."""
        count = len(recording.labels)
        if recording.seconds is None:
            return count
        last = [int(np.flatnonzero(column)[-1]) for column in recording.present.T]
        shortest = min(last)
        if shortest < count - 1:
            self.notes.append(
                f"the videos differ in length: stopped at {recording.labels[shortest]}, the end of "
                f"{names[last.index(shortest)]}; the longest ends at {recording.labels[-1]}"
            )
        return shortest + 1

    def __iter__(self) -> Iterator[FrameSet]:
        """Yields the frame sets in order."""
        recording = self._recording
        times = recording.seconds or [None] * self.count
        rows = zip(recording.labels, times, zip(*recording.streams, strict=False), strict=False)
        for _, (label, seconds, views) in zip(range(self.count), rows, strict=False):
            yield FrameSet(label, seconds, views)

    def close(self) -> None:
        """Closes the files."""
        self._recording.close()


def find_sources(images: Sequence[Path], names: Sequence[str]) -> tuple[list[Path], list[str]]:
    """The file or folder of each camera, and the names of the others.

    Raises:
        InputError: a camera has none or several, or a path does not exist.
        EnvironmentFailure: the disk failed.
    """
    for path in images:
        if not exists(path):
            raise InputError(f"{path} does not exist; --images takes a folder, pictures or videos")
    where = " ".join(map(str, images))
    entries = _entries(images[0]) if len(images) == 1 and images[0].is_dir() else list(images)
    found: dict[str, list[Path]] = {name: [] for name in names}
    ignored = []
    for entry in entries:
        camera = _camera_of(entry)
        if camera in found:
            found[camera].append(entry)
        else:
            ignored.append(entry.name)
    if missing := [name for name in names if not found[name]]:
        held = f"it holds {_listed(ignored)}" if ignored else "it holds nothing else"
        raise InputError(
            f"{where} has no frames of the camera {' and '.join(missing)} of the bundle's rig "
            f"({', '.join(names)}): no CAMERA.png, CAMERA/0000.png … or CAMERA.mp4; {held}"
        )
    for name, several in found.items():
        if len(several) > 1:
            raise InputError(
                f"camera {name} has frames in {' and '.join(p.name for p in several)}; keep one"
            )
    return [found[name][0] for name in names], ignored


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise file_error(f"cannot read {folder}", error) from error


def _camera_of(path: Path) -> str | None:
    """The camera whose frames a path may hold: its stem, for pictures, videos and their folders."""
    if path.is_dir():
        return path.name if pictures_in(path) else None
    return path.stem if path.suffix.lower() in (*PICTURES, *VIDEOS) else None


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
