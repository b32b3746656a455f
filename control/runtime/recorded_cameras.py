"""Recorded frames as a camera source: a folder of pictures, or a video, for each camera.

Frames of different cameras are matched, so that one that a camera lost does not shift the rest:
pictures by the number in their names, videos by their presentation time stamps.
"""

import logging
import re
from collections.abc import Sequence
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


def fit(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Resizes an image (h, w, 3) without cropping, as `Rig.resized` scales the intrinsics."""
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BOX))


class RecordedCameras:
    """Plays `PATH/CAMERA/0000.png …` or `PATH/CAMERA.mp4`, frame by frame.

    Pictures with the same number belong together. In videos, each frame of the slowest one is
    joined with the frames of the others nearest in time, up to half its period away. A camera
    without such a frame gives None.
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


def _by_number(folder: Path) -> dict[int, Path]:
    """The pictures of a folder by the last number in their names."""
    numbered: dict[int, Path] = {}
    for path in sorted(_pictures(folder)):
        digits = re.findall(r"[0-9]+", path.stem)
        if not digits:
            raise InputError(
                f"{path} has no number in its name, by which frames of the cameras are matched; "
                "name pictures 0000.png, 0001.png, …"
            )
        other = numbered.setdefault(int(digits[-1]), path)
        if other != path:
            raise InputError(f"{other} and {path.name} have the same number; keep one of them")
    return numbered


def _match_pictures(folders: Sequence[Path]) -> list[list[Path | None]]:
    """Per camera: its pictures in the order of all numbers; None where it has none."""
    cameras = [_by_number(folder) for folder in folders]
    numbers = sorted(set[int]().union(*cameras))
    return [[pictures.get(number) for number in numbers] for pictures in cameras]


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
