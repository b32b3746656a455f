"""Videos as a camera source, matched by their time stamps."""

import struct
from fractions import Fraction

import av
import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image

from opendactyl.control.recordings.cameras import RecordedCameras
from opendactyl.control.runtime.interfaces import EndOfRecording
from opendactyl.core.errors import InputError
from opendactyl.geometry.rig import load_rig

RIG = load_rig("dactyl-200").resized(48)


def write_video(path, levels, times, unit=Fraction(1, 1000)):
    """A video of gray images; `times` are their time stamps in units."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width = stream.height = 48
        stream.codec_context.time_base = unit
        for level, time in zip(levels, times, strict=True):
            image = np.full((48, 48, 3), level, dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = time, unit
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def levels(path):
    """Mean gray level of each view of each row of a recording; None for a missing frame."""
    cameras, rows = RecordedCameras(path, RIG), []
    try:
        while True:
            rows.append([v if v is None else round(float(v.mean())) for v in cameras.read()])
    except EndOfRecording:
        return rows


def assert_levels(rows, expected):
    assert [[v is None for v in row] for row in rows] == [[v is None for v in e] for e in expected]
    for row, want in zip(rows, expected, strict=True):
        for value, level in zip(row, want, strict=True):
            assert value is None or abs(value - level) < 5


def test_videos_are_played_and_resized(tmp_path):
    for number, camera in enumerate(RIG.names):
        level = np.full((4, 96, 96, 3), 60 * (number + 1), dtype=np.uint8)
        iio.imwrite(tmp_path / f"{camera}.mp4", level, plugin="pyav", codec="libx264", fps=12.5)
    cameras = RecordedCameras(tmp_path, RIG)
    for _ in range(4):
        for number, view in enumerate(cameras.read()):
            assert view.shape == (48, 48, 3)
            assert abs(float(view.mean()) - 60 * (number + 1)) < 4
    with pytest.raises(EndOfRecording):
        cameras.read()


def test_videos_of_other_frame_rates_are_matched_by_time(tmp_path):
    # The gray level is 20 + 100 a second.
    for name, period in (("left", 80), ("right", 33), ("top", 40)):
        times = np.arange(0, 800, period)
        write_video(tmp_path / f"{name}.mp4", 20 + times / 10, times.tolist())
    rows = levels(tmp_path)
    assert len(rows) == 10
    for k, row in enumerate(rows):  # within half a period of the fastest, and of the codec's error
        assert all(abs(value - (20 + 8 * k)) < 5 for value in row)


def test_a_frame_missing_in_a_video_is_missing_and_no_shift(tmp_path):
    gray = 20 + 25 * np.arange(8)
    for name, missing in (("left", ()), ("right", (2, 3)), ("top", (7,))):
        kept = [k for k in range(8) if k not in missing]
        write_video(tmp_path / f"{name}.mkv", gray[kept], [80 * k for k in kept])
    missing = {(2, 1), (3, 1), (7, 2)}
    expected = [[None if (k, v) in missing else gray[k] for v in range(3)] for k in range(8)]
    assert_levels(levels(tmp_path), expected)


def test_videos_that_cannot_be_matched_are_refused(tmp_path):
    times = [80 * k for k in range(4)]
    for name, start in (("left", 0), ("right", 0), ("top", 5000)):
        write_video(tmp_path / f"{name}.mkv", [50] * 4, [start + t for t in times])
    with pytest.raises(InputError, match="no time stamp is common"):
        RecordedCameras(tmp_path, RIG)
    (tmp_path / "top.mkv").unlink()
    (tmp_path / "top").mkdir()
    Image.new("RGB", (48, 48)).save(tmp_path / "top" / "0.png")
    with pytest.raises(InputError, match="pictures of some cameras and videos of others"):
        RecordedCameras(tmp_path, RIG)


def test_videos_without_presentation_time_stamps_are_refused(tmp_path):
    for name in RIG.names:
        write_video(tmp_path / f"{name}.avi", range(20, 120, 10), range(10), Fraction(1, 30))
    with pytest.raises(InputError, match="no presentation time stamps"):
        RecordedCameras(tmp_path, RIG)


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_videos_are_rotated_as_their_tag_says(tmp_path, degrees):
    """Telephones store upright videos rotated, with a matrix in the track's header."""
    upright = np.zeros((48, 48, 3), np.uint8)
    upright[:16, 16:] = 200
    # The matrix is the clockwise rotation by which players show the stored frames.
    stored = np.rot90(upright, degrees // 90)
    cosine, sine = round(np.cos(np.deg2rad(degrees))), round(np.sin(np.deg2rad(degrees)))
    for name in RIG.names:
        path = tmp_path / f"{name}.MP4"
        with av.open(str(path), "w", format="mp4") as container:
            stream = container.add_stream("libx264", rate=10)
            stream.width = stream.height = 48
            for _ in range(3):
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(stored), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        content = bytearray(path.read_bytes())
        start = content.index(b"tkhd") + 44
        one = 1 << 16
        matrix = [cosine * one, sine * one, 0, -sine * one, cosine * one, 0, 0, 0, 1 << 30]
        content[start : start + 36] = struct.pack(">9i", *matrix)
        path.write_bytes(content)
    for view in RecordedCameras(tmp_path, RIG).read():
        assert np.abs(view.astype(int) - upright).mean() < 10
