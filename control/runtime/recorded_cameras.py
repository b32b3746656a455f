"""Recorded frames as a camera source: a folder of pictures, or a video, for each camera.

Frames of different cameras are matched, so that one that a camera lost does not shift the rest:
pictures by the numbers in their names, videos by their presentation time stamps.
"""

import logging
import re
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from opendactyl.control.runtime.interfaces import EndOfRecording, Views
from opendactyl.control.runtime.recorded_videos import Frames, match_videos, play_video
from opendactyl.core.errors import InputError, file_error
from opendactyl.geometry.rig import Rig

log = logging.getLogger(__name__)

PICTURES = (".png", ".jpg", ".jpeg")
VIDEOS = (".mp4", ".mkv", ".avi", ".mov")
_END = object()
_NUMBER = re.compile(r"(?<![A-Za-z0-9])[0-9]+\.[0-9]+|[0-9]+")
"""A number in a file name; `1305.97` is one number, a time stamp, and `cam1.0097` holds two."""
Numbers = tuple[Decimal, ...]


def fit(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Resizes an image (h, w, 3) without cropping, as `Rig.resized` scales the intrinsics."""
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BOX))


class RecordedCameras:
    """Plays `PATH/CAMERA/0000.png …` or `PATH/CAMERA.mp4`, frame by frame.

    Pictures with the same numbers in their names belong together and are played in the order of
    these numbers; a number that only distinguishes the cameras does not count. In videos, each
    frame of the slowest one is joined with the frames of the others nearest in time, up to half
    its period away. A camera without such a frame gives None.
    """

    def __init__(self, path: str | Path, rig: Rig) -> None:
        """Opens a recording.

        Args:
            path: folder of the recording.
            rig: names of the cameras and sizes of the images to return.

        Raises:
            InputError: a camera's frames are missing, cannot be read, or cannot be matched with
                those of the others.
            EnvironmentFailure: the disk failed.
        """
        self._rig = rig
        sources = [_find(Path(path), name) for name in rig.names]
        folders = [source for source in sources if source.is_dir()]
        if folders and len(folders) < len(sources):
            raise InputError(
                f"{path} holds pictures of some cameras and videos of others, which cannot be "
                "matched; record all cameras in the same form"
            )
        if folders:
            pictures = _match_pictures(folders)
            self._check(path, pictures, "number")
            self._streams = [_play_pictures(frames) for frames in pictures]
        else:
            stamps = match_videos(sources)
            self._check(path, stamps, "time stamp")
            self._streams = [
                play_video(source, wanted) for source, wanted in zip(sources, stamps, strict=True)
            ]

    def _check(self, path: str | Path, columns: Sequence[Sequence[object]], what: str) -> None:
        """Refuses a recording without a single complete set of frames; logs incomplete ones."""
        if all(None in row for row in zip(*columns, strict=True)):
            raise InputError(
                f"the frames in {path} cannot be matched: no {what} is common to the cameras "
                f"{', '.join(self._rig.names)}"
            )
        for name, column in zip(self._rig.names, columns, strict=True):
            if missing := sum(frame is None for frame in column):
                log.warning("%s: %s lacks %d of %d frames", path, name, missing, len(column))

    def read(self) -> Views:
        """Returns the next images, one per camera; None for a frame that cannot be read.

        Raises:
            EndOfRecording: all frames were played.
        """
        views = [next(stream, _END) for stream in self._streams]
        if any(view is _END for view in views):
            raise EndOfRecording("the recording has ended")
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
    try:
        return [path for path in folder.iterdir() if path.suffix.lower() in PICTURES]
    except OSError as error:
        raise file_error(f"cannot read {folder}", error) from error


def _match_pictures(folders: Sequence[Path]) -> list[list[Path | None]]:
    """Per camera: its pictures in the order of all numbers; None where it has none."""
    found = [[(_numbers(p), p) for p in sorted(_pictures(folder))] for folder in folders]
    positions = _frame_positions([[numbers for numbers, _ in camera] for camera in found])
    cameras = [_by_numbers(camera, positions) for camera in found]
    keys = sorted(set[Numbers]().union(*cameras))
    return [[pictures.get(key) for key in keys] for pictures in cameras]


def _by_numbers(
    camera: Sequence[tuple[Numbers, Path]], positions: Sequence[int]
) -> dict[Numbers, Path]:
    """The pictures of a camera by the numbers at some positions in their names."""
    pictures: dict[Numbers, Path] = {}
    for numbers, path in camera:
        other = pictures.setdefault(tuple(numbers[i] for i in positions), path)
        if other != path:
            raise InputError(f"{other} and {path.name} have the same number; keep one of them")
    return pictures


def _numbers(picture: Path) -> Numbers:
    """The numbers in a picture's name."""
    found = tuple(map(Decimal, _NUMBER.findall(picture.stem)))
    if not found:
        raise InputError(
            f"{picture} has no number in its name, by which frames of the cameras are matched; "
            "name pictures 0000.png, 0001.png, …"
        )
    return found


def _frame_positions(cameras: Sequence[Sequence[Numbers]]) -> Sequence[int]:
    """Positions of the numbers in the pictures' names that identify a frame, not its camera.

    A number of the camera is constant in its pictures, and differs between cameras. If the names
    hold different counts of numbers, only the last one is used.
    """
    counts = {len(numbers) for camera in cameras for numbers in camera}
    if len(counts) > 1:
        return [-1]
    every = range(counts.pop())
    values = [[{numbers[i] for numbers in camera} for camera in cameras] for i in every]
    constant = [all(len(camera) == 1 for camera in position) for position in values]
    differs = [len(set[Decimal]().union(*position)) > 1 for position in values]
    return [i for i in every if not (constant[i] and differs[i])] or every


def _play_pictures(pictures: Sequence[Path | None]) -> Frames:
    for picture in pictures:
        frame = None
        if picture is not None:
            try:
                with Image.open(picture) as image:
                    frame = np.asarray(image.convert("RGB"))
            except Exception:
                # Pillow raises many types for damaged files; the next picture may be intact.
                log.warning("cannot read %s", picture)
        yield frame
