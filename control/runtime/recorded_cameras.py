"""Synchronized frames from disk: a folder of pictures, or a video, for each camera."""

import re
from collections.abc import Generator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from opendactyl.control.runtime.interfaces import EndOfRecording, Views
from opendactyl.core.errors import InputError
from opendactyl.geometry.rig import Rig

PICTURES = (".png", ".jpg", ".jpeg")
VIDEOS = (".mp4", ".mkv", ".avi", ".mov")
Frames = Generator[NDArray[np.uint8] | None, None, None]
"""One camera's frames in order; None for one that cannot be read."""
_END = object()


def fit(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """An image (h, w, 3) at the estimator's size, as the rig's matrices are scaled: uncropped."""
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BOX))


class RecordedCameras:
    """Plays `PATH/CAMERA/*.png` or `PATH/CAMERA.mp4`, frame by frame; raises `Over` at the end."""

    def __init__(self, path: str | Path, rig: Rig) -> None:
        """Opens a recording of a rig's cameras, whose sizes are those of the images wanted.

        Raises:
            InputError: a camera's frames are missing, cannot be read, or the folders differ in
                length.
        """
        self._rig = rig
        recordings = [_find(Path(path), name) for name in rig.names]
        lengths = {p.name: len(_pictures(p)) for p in recordings if p.is_dir()}
        if len(set(lengths.values())) > 1:
            raise InputError(
                f"the cameras' folders in {path} hold {lengths} pictures; synchronized frames are "
                "equally many"
            )
        self._streams = [_folder(p) if p.is_dir() else _video(p) for p in recordings]

    def read(self) -> Views:
        """The next moment's images; None for a frame that cannot be read."""
        views = [next(stream, _END) for stream in self._streams]
        over = [name for name, view in zip(self._rig.names, views, strict=True) if view is _END]
        if over:
            early = "" if len(over) == len(views) else f" of {', '.join(over)}"
            raise EndOfRecording(f"the recording{early} is over")
        return [
            fit(view, camera.height, camera.width) if isinstance(view, np.ndarray) else None
            for view, camera in zip(views, self._rig.cameras, strict=True)
        ]

    def close(self) -> None:
        """Closes the files."""
        for stream in self._streams:
            stream.close()


def _find(folder: Path, camera: str) -> Path:
    if (folder / camera).is_dir() and _pictures(folder / camera):
        return folder / camera
    for suffix in VIDEOS:
        if (folder / f"{camera}{suffix}").is_file():
            return folder / f"{camera}{suffix}"
    raise InputError(
        f"{folder} has no frames of the camera {camera}: neither pictures in {camera}/ nor "
        f"{camera}.mp4"
    )


def _pictures(folder: Path) -> list[Path]:
    pictures = (p for p in folder.iterdir() if p.suffix.lower() in PICTURES)
    return sorted(pictures, key=_number_order)


def _number_order(path: Path) -> list[str | int]:
    """Numbers in a name count by their value: 2 comes before 10."""
    parts = re.split(r"([0-9]+)", path.name)
    return [int(part) if number % 2 else part for number, part in enumerate(parts)]


def _folder(path: Path) -> Frames:
    for picture in _pictures(path):
        try:
            with Image.open(picture) as image:
                frame = np.asarray(image.convert("RGB"))
        except Exception:
            # Pillow raises many things for damaged files; the next picture may be whole.
            frame = None
        yield frame


def _video(path: Path) -> Frames:
    try:
        import av
        from av.error import FFmpegError
    except ModuleNotFoundError as error:
        raise InputError("reading videos needs av: pip install av") from error
    try:
        container = av.open(str(path))
        stream = container.streams.video[0]
    except (FFmpegError, IndexError) as error:
        raise InputError(f"{path} is no video that can be read ({error})") from error

    def play() -> Frames:
        with container:
            for packet in container.demux(stream):
                try:
                    frames = packet.decode()
                except FFmpegError:
                    yield None
                    continue
                for frame in frames:
                    yield frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)

    return play()
