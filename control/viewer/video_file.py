"""Video files: MP4, and animated WebP, which browsers show as pictures."""

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from opendactyl.core.atomic_files import write_bytes
from opendactyl.core.errors import file_errors

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
    temporary = path.with_suffix(f".{os.getpid()}.part.mp4")
    remedy = "name a file in a folder that is writable"
    writing = partial(file_errors, f"cannot write {path}", remedy)

    def append(frame: NDArray[np.uint8]) -> None:
        with writing():
            video.write_frame(frame)  # pyright: ignore

    try:
        with writing():
            video = iio.imopen(temporary, "w", plugin="pyav")
        try:
            with writing():
                video.init_video_stream("libx264", fps=1 / seconds)  # pyright: ignore
            yield append
        finally:
            with writing():
                video.close()
        with writing():
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
