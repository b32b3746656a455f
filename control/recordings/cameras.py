"""Recorded frames as a camera source: a folder of pictures, or a video, for each camera.

Frames of different cameras are matched, so that one that a camera lost does not shift the rest:
pictures by the numbers in their names, videos by their presentation time stamps.
"""

import logging
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from opendactyl.control.recordings.videos import match_videos, play_video
from opendactyl.control.runtime.interfaces import EndOfRecording, Views
from opendactyl.core.errors import InputError
from opendactyl.datasets.foreign.pictures import (
    PICTURES,
    Frames,
    match_pictures,
    pictures_in,
    play_pictures,
)
from opendactyl.geometry.camera import Camera
from opendactyl.geometry.rig import Rig
from opendactyl.vision.raw_frames import RawFrames

log = logging.getLogger(__name__)

VIDEOS = (".mp4", ".mkv", ".avi", ".mov")
_END = object()


def fit_image(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Resizes an image (h, w, 3) without cropping, as `Rig.resized` scales the intrinsics."""
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BOX))


@dataclass(eq=False)
class Recording:
    """The matched frames of V cameras: N rows of simultaneous frames."""

    streams: list[Frames]
    """One per camera: its frame of each row, None where it has none or cannot be read."""
    labels: list[str]
    """Names of the rows: a picture's name, or a video's seconds."""
    seconds: list[float] | None
    """Times of the rows, of videos."""
    present: NDArray[np.bool_]
    """Whether a camera has a frame (N, V)."""

    def close(self) -> None:
        """Closes the files."""
        for stream in self.streams:
            stream.close()


def open_recording(sources: Sequence[Path], names: Sequence[str], where: str) -> Recording:
    """Opens a recording.

    Args:
        sources: for each camera a video, a folder of pictures or a single picture.
        names: the cameras.
        where: what the user named, for messages.

    Raises:
        InputError: the frames cannot be read, or cannot be matched.
        EnvironmentFailure: the disk failed.
    """
    kinds = {_kind(source) for source in sources}
    if len(kinds) > 1:
        raise InputError(
            f"{where} holds {' of some cameras and '.join(sorted(kinds))} of others, which cannot "
            "be matched; record all cameras in the same form"
        )
    if kinds == {"videos"}:
        stamps, times = match_videos(sources)
        _check(where, names, stamps, "time stamp")
        pairs = zip(sources, stamps, strict=True)
        videos = [play_video(source, wanted) for source, wanted in pairs]
        labels = [f"{time:.3f} s" for time in times]
        return Recording(_checked(videos, names, where), labels, times, _present(stamps))
    single = kinds == {"single pictures"}
    pictures = [[source] for source in sources] if single else match_pictures(sources)
    _check(where, names, pictures, "number")
    rows = [next(filter(None, row)).stem for row in zip(*pictures, strict=True)]
    labels = ["0"] if single else rows
    streams = [play_pictures(frames) for frames in pictures]
    return Recording(_checked(streams, names, where), labels, None, _present(pictures))


def _checked(streams: Sequence[Frames], names: Sequence[str], where: str) -> list[Frames]:
    return [_of_one_size(s, n, where) for s, n in zip(streams, names, strict=True)]


def _of_one_size(stream: Frames, name: str, where: str) -> Frames:
    """Yields the frames; refuses a frame of another size than the ones before."""
    size = None
    with closing(stream):
        for frame in stream:
            if frame is not None:
                height, width = frame.shape[:2]
                size = size or (width, height)
                if (width, height) != size:
                    raise InputError(
                        f"{where}: the camera {name} has frames of {size[0]}×{size[1]} and of "
                        f"{width}×{height} pixels; keep those of its calibration"
                    )
            yield frame


def _kind(source: Path) -> str:
    if source.is_dir():
        return "pictures"
    return "single pictures" if source.suffix.lower() in PICTURES else "videos"


def _present(columns: Sequence[Sequence[object]]) -> NDArray[np.bool_]:
    return np.array([[frame is not None for frame in column] for column in columns]).T


def _check(
    where: str, names: Sequence[str], columns: Sequence[Sequence[object]], what: str
) -> None:
    """Refuses a recording without a single complete set of frames; logs incomplete ones."""
    if all(None in row for row in zip(*columns, strict=True)):
        raise InputError(
            f"the frames in {where} cannot be matched: no {what} is common to the cameras "
            f"{', '.join(names)}"
        )
    for name, column in zip(names, columns, strict=True):
        if missing := sum(frame is None for frame in column):
            log.warning("%s: %s lacks %d of %d frames", where, name, missing, len(column))


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
        self._rig, self._raw_frames = rig, RawFrames(rig)
        sources = [_find(Path(path), name) for name in rig.names]
        self._recording = open_recording(sources, rig.names, str(path))

    def read(self) -> Views:
        """Returns the next images, one per camera; None for a frame that cannot be read.

        Raises:
            EndOfRecording: all frames were played.
            InputError: frames of a camera differ in size, or would be squashed: the rig's pixels
                would not be square in them.
        """
        views = [next(stream, _END) for stream in self._recording.streams]
        if any(view is _END for view in views):
            raise EndOfRecording("the recording has ended")
        return [
            self._fitted(view, camera) if isinstance(view, np.ndarray) else None
            for view, camera in zip(views, self._rig.cameras, strict=True)
        ]

    def _fitted(self, view: NDArray[np.uint8], camera: Camera) -> NDArray[np.uint8]:
        self._raw_frames.camera(camera, view)  # refuses another aspect ratio
        return fit_image(view, camera.height, camera.width)

    def close(self) -> None:
        """Closes the files."""
        self._recording.close()


def _find(folder: Path, camera: str) -> Path:
    if (folder / camera).is_dir() and pictures_in(folder / camera):
        return folder / camera
    for path in sorted(folder.glob(f"{camera}.*")):
        if path.suffix.lower() in VIDEOS:
            return path
    raise InputError(
        f"{folder} has no frames of the camera {camera}: neither pictures in {camera}/ nor "
        f"{camera}.mp4"
    )
