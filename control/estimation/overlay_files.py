"""Where overlays are written: a picture, a video, or, without PyAV, a folder of pictures."""

import io
import os
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from opendactyl.core.atomic_files import write_bytes
from opendactyl.core.errors import file_errors

PICTURE, VIDEO, FOLDER = "overlay.png", "overlay.mp4", "overlay"
FRAME_RATE = 10
"""Frames per second of recordings without times."""
_UNIT = Fraction(1, 1000)


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
        buffer = io.BytesIO()
        overlay.save(buffer, "PNG")
        write_bytes(self._folder / name, buffer.getvalue())
        self._count += 1

    def close(self, *, keep: bool) -> None:
        """Pictures are complete one by one."""


class _Video:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._temporary = path.with_name(f".{path.stem}.{os.getpid()}.mp4")
        self._writing = partial(file_errors, f"cannot write {path}", "name another --out")
        self._container: Any = None
        self._last = -1

    def add(self, overlay: Image.Image, seconds: float | None) -> None:
        import av

        with self._writing():
            if self._container is None:
                self._container = av.open(str(self._temporary), "w")
                self._stream = self._container.add_stream("libx264", rate=30)
                self._stream.width, self._stream.height = overlay.size
                self._stream.pix_fmt = "yuv420p"
                self._stream.codec_context.time_base = _UNIT
                self._start = seconds or 0.0
            after = self._last + 1000 // FRAME_RATE if self._last >= 0 else 0
            stamp = after if seconds is None else round((seconds - self._start) / float(_UNIT))
            # Encoders take ascending time stamps only.
            self._last = max(stamp, self._last + 1)
            frame = av.VideoFrame.from_ndarray(np.asarray(overlay), format="rgb24")
            frame.pts, frame.time_base = self._last, _UNIT
            self._container.mux(self._stream.encode(frame))

    def close(self, *, keep: bool) -> None:
        try:
            with self._writing():
                if self._container is not None:
                    if keep:
                        self._container.mux(self._stream.encode())
                    self._container.close()
                    if keep:
                        self._temporary.replace(self.path)
        finally:
            self._temporary.unlink(missing_ok=True)
