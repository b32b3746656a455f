"""MP4 files that are complete or absent."""

import resource

import av
import numpy as np
import pytest

from opendactyl.control.recordings.video_writer import VideoWriter
from opendactyl.core.errors import EnvironmentFailure, InputError


def frames(count):
    return np.random.default_rng(0).integers(0, 255, (count, 64, 96, 3), dtype=np.uint8)


def test_frames_keep_their_times(tmp_path):
    writer = VideoWriter(tmp_path / "a.mp4", "")
    for frame, seconds in zip(frames(3), (0.0, 0.08, 0.5), strict=True):
        writer.add(frame, seconds)
    assert not (tmp_path / "a.mp4").exists()
    writer.close(keep=True)
    with av.open(str(tmp_path / "a.mp4")) as container:
        times = [float(frame.time) for frame in container.decode(video=0)]
    np.testing.assert_allclose(times, [0.0, 0.08, 0.5], atol=1e-3)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_file_that_is_not_wanted_is_removed(tmp_path):
    writer = VideoWriter(tmp_path / "a.mp4", "")
    writer.add(frames(1)[0], 0.0)
    writer.close(keep=False)
    assert not list(tmp_path.iterdir())


def test_a_disk_that_is_full_ends_in_one_error(tmp_path, capfd):
    """With a limit of the size of files in place of the disk's end."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    writer = VideoWriter(tmp_path / "a.mp4", "name another file")
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(EnvironmentFailure, match=r"cannot write .*a\.mp4: File too large"):
            try:
                for number, frame in enumerate(frames(200)):
                    writer.add(frame, 0.1 * number)
            finally:
                writer.close(keep=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    del writer
    assert not list(tmp_path.iterdir())
    assert "Traceback" not in capfd.readouterr().err


def test_a_folder_that_cannot_be_written_names_the_remedy(tmp_path):
    writer = VideoWriter(tmp_path / "none" / "a.mp4", "name another file")
    with pytest.raises(InputError, match="name another file"):
        writer.add(frames(1)[0], 0.0)
        writer.close(keep=True)
    writer.close(keep=False)
