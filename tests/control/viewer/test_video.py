"""Videos of episodes."""

import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image

from opendactyl.control.evaluation.evaluate import EvaluateConfig
from opendactyl.control.viewer.video import RunConfig, record_median_video, record_video
from opendactyl.core.errors import EnvironmentFailure, InputError


def test_a_video_that_cannot_be_written_is_refused(bundle, tmp_path, monkeypatch):
    (tmp_path / "video.mp4").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        RunConfig(bundle=bundle, video=tmp_path / "video.mp4")

    def full(self, container, frame):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("opendactyl.control.recordings.video_writer.VideoWriter._open", full)
    with pytest.raises(EnvironmentFailure, match=r"cannot write .*a\.mp4: No space left"):
        record_video(RunConfig(bundle=bundle, seconds=0.1, video=tmp_path / "a.mp4"))
    assert [path.name for path in tmp_path.iterdir()] == ["video.mp4"]


def test_an_error_of_the_episode_is_not_one_of_the_file(bundle, tmp_path, monkeypatch):
    def fail(self):
        raise FileNotFoundError(2, "No such file or directory", "palm.stl")

    monkeypatch.setattr("opendactyl.control.viewer.video.VideoRecorder.step", fail)
    with pytest.raises(FileNotFoundError, match=r"palm\.stl"):
        record_video(RunConfig(bundle=bundle, seconds=0.1, video=tmp_path / "a.mp4"))
    assert not list(tmp_path.iterdir())


def test_a_video_of_an_episode(bundle, tmp_path):
    path = record_video(RunConfig(bundle=bundle, seconds=0.4, video=tmp_path / "video.mp4"))
    frames = iio.imread(path, plugin="pyav")
    assert frames.shape == (5, 480, 640, 3)
    assert np.abs(frames[0].astype(int) - frames[-1]).max() > 20
    assert frames.std() > 20


def test_an_animated_picture_of_an_episode(bundle, tmp_path):
    path = record_video(RunConfig(bundle=bundle, seconds=0.4, video=tmp_path / "video.webp"))
    with Image.open(path) as picture:
        assert (picture.n_frames, picture.size, picture.info["loop"]) == (5, (640, 480), 0)
        picture.seek(4)
        assert np.asarray(picture.convert("RGB")).std() > 20
    assert [path.name for path in tmp_path.iterdir()] == ["video.webp"]
    with pytest.raises(InputError, match=r"must end in \.mp4 or \.webp"):
        RunConfig(bundle=bundle, video=tmp_path / "video.avi")


def test_the_median_episode_is_recorded(bundle, tmp_path):
    config = EvaluateConfig(
        bundle=bundle, out=tmp_path / "out", episodes=3, video_seconds=0.2, seconds_per_goal=0.4
    )
    video = record_median_video(config, [4, 9, 6])
    assert video == tmp_path / "out" / "median.mp4"
    assert len(iio.imread(video, plugin="pyav")) == 2
