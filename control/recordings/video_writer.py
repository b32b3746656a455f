"""Writes MP4 files with PyAV, each complete or not at all."""

import contextlib
import os
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opendactyl.core.errors import file_errors

_UNIT = Fraction(1, 1000)
_CODEC = "libx264"


class VideoWriter:
    """A video whose frames have times; the file appears when it is closed."""

    def __init__(self, path: Path, remedy: str) -> None:
        """Nothing is written before the first frame.

        Args:
            path: the file, .mp4.
            remedy: what to do if it cannot be written.
        """
        self.path = path
        self._temporary = path.with_name(f".{path.stem}.{os.getpid()}.mp4")
        self._writing = partial(file_errors, f"cannot write {path}", remedy)
        self._container: Any = None
        self._last = -1

    def add(self, frame: NDArray[np.uint8], seconds: float) -> None:
        """Appends a frame (H, W, 3) that is shown from a time on, in seconds.

        Raises:
            InputError: the file cannot be written.
            EnvironmentFailure: the disk is full or failed.
        """
        import av

        with self._writing():
            container = self._container or self._open(av.open(str(self._temporary), "w"), frame)
            # Encoders take ascending time stamps only.
            self._last = max(round(seconds / _UNIT), self._last + 1)
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture.pts, picture.time_base = self._last, _UNIT
            container.mux(self._stream.encode(picture))

    def _open(self, container: Any, frame: NDArray[np.uint8]) -> Any:
        self._container = container
        self._stream: Any = container.add_stream(_CODEC, rate=30)
        self._stream.height, self._stream.width = frame.shape[:2]
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = _UNIT
        return container

    def close(self, *, keep: bool) -> None:
        """Completes the file, or removes what was written.

        Raises:
            InputError: the file cannot be written.
            EnvironmentFailure: the disk is full or failed.
        """
        try:
            if self._container is None:
                return
            if not keep:
                with contextlib.suppress(OSError):
                    self._container.close()
                return
            with self._writing():
                self._container.mux(self._stream.encode())
                self._container.close()
                self._temporary.replace(self.path)
        finally:
            self._temporary.unlink(missing_ok=True)
