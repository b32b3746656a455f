"""Where overlays are written: a picture, a video, or, without PyAV, a folder of pictures."""

from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from opendactyl.control.recordings.video_writer import VideoWriter
from opendactyl.core.atomic_files import open_atomic

PICTURE, VIDEO, FOLDER = "overlay.png", "overlay.mp4", "overlay"
FRAME_RATE = 10
"""Frames per second of recordings without times."""


class OverlayFile(Protocol):
    """Takes overlays in order."""

    path: Path

    def add(self, overlay: Image.Image, seconds: float | None) -> None:
        """Appends an overlay of a time."""
        ...

    def close(self, *, keep: bool) -> None:
        """Completes the file, or removes what was written."""
        ...


def open_overlay(out: Path, *, still: bool) -> OverlayFile:
    """Chooses the form: a picture for stills, a video where PyAV is installed, or pictures."""
    if still:
        return _Pictures(out, (PICTURE,))
    try:
        import av  # noqa: F401
    except ModuleNotFoundError:
        return _Pictures(out / FOLDER, None)
    return _Video(out / VIDEO)


class _Pictures:
    def __init__(self, folder: Path, names: tuple[str, ...] | None) -> None:
        self.path = folder / names[0] if names else folder
        self._folder, self._names, self._count = folder, names, 0

    def add(self, overlay: Image.Image, seconds: float | None) -> None:
        name = self._names[self._count] if self._names else f"{self._count:06d}.png"
        with open_atomic(self._folder / name) as file:
            overlay.save(file, "PNG")
        self._count += 1

    def close(self, *, keep: bool) -> None:
        """Pictures are complete one by one."""


class _Video:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._writer = VideoWriter(path, "name another --out")
        self._start: float | None = None
        self._time = -1 / FRAME_RATE

    def add(self, overlay: Image.Image, seconds: float | None) -> None:
        if self._start is None:
            self._start = seconds or 0.0
        self._time = self._time + 1 / FRAME_RATE if seconds is None else seconds - self._start
        self._writer.add(np.asarray(overlay), self._time)

    def close(self, *, keep: bool) -> None:
        self._writer.close(keep=keep)
