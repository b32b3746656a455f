"""Videos of several cameras, matched by their presentation time stamps. Needs PyAV."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from opendactyl.core.errors import InputError, file_error
from opendactyl.datasets.foreign.pictures import Frames
from opendactyl.geometry.rotation import Array

if TYPE_CHECKING:
    from av.container import InputContainer


def match_videos(videos: Sequence[Path]) -> tuple[list[list[int | None]], list[float]]:
    """Matches the frames of each camera's video with those of the slowest one by time.

    Returns:
        For each camera the time stamps of the matched frames, one for each frame of the slowest
        video; None where no frame is within half the slowest video's period. And the times of
        these rows in seconds.

    Raises:
        InputError: a file is not a video, or has no presentation time stamps.
        EnvironmentFailure: the disk failed.
    """
    cameras = [_time_stamps(video) for video in videos]
    seconds: list[Array] = [stamps.astype(np.float64) * unit for stamps, unit in cameras]
    periods = [float(np.median(np.diff(times))) if len(times) > 1 else 0.0 for times in seconds]
    longest = max(periods)
    limit = longest / 2 + 1e-6
    # Of videos with nearly the same frame rate, the one that lost the fewest frames.
    slow = [t for t, period in zip(seconds, periods, strict=True) if period >= 0.9 * longest]
    reference = max(slow, key=len)
    columns: list[list[int | None]] = []
    for (stamps, _), times in zip(cameras, seconds, strict=True):
        nearest = _nearest(times, reference)
        near = np.abs(times[nearest] - reference) <= limit
        pairs = zip(stamps[nearest].tolist(), near, strict=True)
        columns.append([stamp if ok else None for stamp, ok in pairs])
    return columns, reference.tolist()


def _nearest(times: Array, wanted: Array) -> NDArray[np.intp]:
    """Indices (M,) of the ascending `times` (N,) nearest to `wanted` (M,)."""
    after = np.searchsorted(times, wanted).clip(max=len(times) - 1)
    before = (after - 1).clip(min=0)
    return np.where(wanted - times[before] <= times[after] - wanted, before, after)


def _time_stamps(path: Path) -> tuple[NDArray[np.int64], float]:
    """The presentation time stamps of a video's frames in order (N,), and their unit in seconds."""
    with _open_video(path) as container:
        stream = container.streams.video[0]
        packets = (packet for packet in container.demux(stream) if packet.size)
        found = {packet.pts for packet in packets if not packet.is_discard}
        stamps = sorted(stamp for stamp in found if stamp is not None)
        # AVI stores the order of decoding only.
        reordered = container.format.name == "avi" and stream.codec_context.has_b_frames
        if len(stamps) < max(len(found), 1) or not stream.time_base or reordered:
            raise InputError(
                f"{path} has no presentation time stamps, by which frames of the cameras are "
                "matched; convert it to MP4"
            )
        return np.array(stamps, dtype=np.int64), float(stream.time_base)


@contextmanager
def _open_video(path: Path) -> "Iterator[InputContainer]":
    try:
        import av
        from av.error import FFmpegError
    except ModuleNotFoundError as error:
        raise InputError("reading videos needs PyAV: pip install av") from error
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise InputError(f"{path} has no video stream")
            yield container
    except FFmpegError as error:
        if isinstance(error, OSError):
            raise file_error(f"cannot read {path}", error) from error
        raise InputError(f"{path} is not a video that can be read ({error})") from error


def play_video(path: Path, wanted: Sequence[int | None]) -> Frames:
    """Yields the frames with the wanted time stamps; None for one that is missing or damaged."""
    with _open_video(path) as container:
        frames = _decode(container)
        stamp, frame = next(frames, (None, None))
        for target in wanted:
            while target is not None and stamp is not None and stamp < target:
                stamp, frame = next(frames, (None, None))
            yield frame if target is not None and stamp == target else None


def _upright(image: NDArray[np.uint8], rotation: int) -> NDArray[np.uint8]:
    """Rotates an image counter-clockwise by the degrees of its video's rotation tag."""
    return np.ascontiguousarray(np.rot90(image, round(rotation / 90)))


def _decode(container: "InputContainer") -> Generator[tuple[int, NDArray[np.uint8]], None, None]:
    """Time stamps and images of the frames that can be decoded."""
    from av.error import FFmpegError

    for packet in container.demux(container.streams.video[0]):
        try:
            frames = packet.decode()
        except FFmpegError:
            continue
        for frame in frames:
            if frame.pts is not None:
                image = frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
                yield frame.pts, _upright(image, frame.rotation)
