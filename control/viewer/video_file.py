"""Video files: MP4, and animated WebP, which browsers show as pictures."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from opendactyl.control.recordings.video_writer import VideoWriter
from opendactyl.core.atomic_files import write_bytes

FORMATS = (".mp4", ".webp")
"""Suffixes of the formats."""
WEBP_QUALITY = 50
"""Of 100; twelve seconds of 640×480 pixels take about 1.4 MB."""

Append = Callable[[NDArray[np.uint8]], None]
"""Appends a frame (H, W, 3)."""


@contextmanager
def open_video(path: Path, seconds: float) -> Iterator[Append]:
    """Yields the function that appends a frame to a video, which replaces `path` at the end.

    Errors of the block pass unchanged, and nothing is replaced.

    Args:
        path: the file; its suffix, one of `FORMATS`, determines the format.
        seconds: duration of a frame.

    Raises:
        InputError: the file cannot be written.
        EnvironmentFailure: the disk is full or failed.
    """
    with (_open_webp if path.suffix == ".webp" else _open_mp4)(path, seconds) as append:
        yield append


@contextmanager
def _open_webp(path: Path, seconds: float) -> Iterator[Append]:
    frames: list[Image.Image] = []
    yield lambda frame: frames.append(Image.fromarray(frame))
    buffer = io.BytesIO()
    frames[0].save(
        buffer, "WEBP", save_all=True, append_images=frames[1:], duration=round(1000 * seconds),
        loop=0, quality=WEBP_QUALITY, method=6,
    )  # fmt: skip
    write_bytes(path, buffer.getvalue())


@contextmanager
def _open_mp4(path: Path, seconds: float) -> Iterator[Append]:
    writer, frames = VideoWriter(path, "name a file in a folder that is writable"), count()
    keep = False
    try:
        yield lambda frame: writer.add(frame, next(frames) * seconds)
        keep = True
    finally:
        writer.close(keep=keep)
