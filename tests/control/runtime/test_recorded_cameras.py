"""Recorded frames as a camera source, and the example of a rig of one's own."""

import json
import subprocess
import sys
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image

from opendactyl.control.bundle.load import load_bundle
from opendactyl.control.runtime.goals import TaskGoals
from opendactyl.control.runtime.interfaces import EndOfRecording, HandReading
from opendactyl.control.runtime.recorded_cameras import RecordedCameras, fit
from opendactyl.control.runtime.robot_loop import RobotLoop
from opendactyl.control.runtime.vision_pose import VisionPose
from opendactyl.core.errors import InputError
from opendactyl.geometry.rig import load_rig

FRAMES = 4
RIG = load_rig("dactyl").resized(48)
EXAMPLE = Path(__file__).parents[3] / "examples" / "own_rig.py"


def frames(seed, size=48):
    return np.random.default_rng(seed).integers(0, 256, (FRAMES, size, size, 3), dtype=np.uint8)


@pytest.fixture
def folders(tmp_path):
    for number, camera in enumerate(RIG.names):
        (tmp_path / camera).mkdir()
        for k, frame in enumerate(frames(number)):
            Image.fromarray(frame).save(tmp_path / camera / f"{k:06d}.png")
    return tmp_path


def test_folders_are_played_in_step_and_end(folders):
    cameras = RecordedCameras(folders, RIG)
    for k in range(FRAMES):
        views = cameras.read()
        assert len(views) == 3
        for number, view in enumerate(views):
            assert np.array_equal(view, frames(number)[k])
    with pytest.raises(EndOfRecording):
        cameras.read()
    cameras.close()


def test_pictures_are_played_by_the_numbers_in_their_names(folders):
    for camera in RIG.names:
        for k in range(FRAMES):
            (folders / camera / f"{k:06d}.png").rename(folders / camera / f"frame_{4 * k}.png")
    cameras = RecordedCameras(folders, RIG)
    for k in range(FRAMES):
        assert np.array_equal(cameras.read()[0], frames(0)[k])


def test_a_picture_that_cannot_be_read_is_missing_and_the_rest_is_in_step(folders):
    damaged = folders / "right" / "000001.png"
    damaged.write_bytes(damaged.read_bytes()[:200])
    cameras = RecordedCameras(folders, RIG)
    moments = [cameras.read() for _ in range(FRAMES)]
    assert [[view is None for view in views] for views in moments] == [
        [name == "right" and k == 1 for name in RIG.names] for k in range(FRAMES)
    ]
    assert np.array_equal(moments[3][RIG.names.index("right")], frames(RIG.names.index("right"))[3])


def test_videos_are_played_and_fitted(folders):
    for number, camera in enumerate(RIG.names):
        level = np.full((FRAMES, 96, 96, 3), 60 * (number + 1), dtype=np.uint8)
        for picture in (folders / camera).iterdir():
            picture.unlink()
        iio.imwrite(folders / f"{camera}.mp4", level, plugin="pyav", codec="libx264", fps=12.5)
    cameras = RecordedCameras(folders, RIG)
    for _ in range(FRAMES):
        for number, view in enumerate(cameras.read()):
            assert view.shape == (48, 48, 3)
            assert abs(float(view.mean()) - 60 * (number + 1)) < 4
    with pytest.raises(EndOfRecording):
        cameras.read()


def test_recordings_that_do_not_fit_the_rig_are_refused(folders, tmp_path):
    next((folders / "top").iterdir()).unlink()
    with pytest.raises(InputError, match="equally many"):
        RecordedCameras(folders, RIG)
    with pytest.raises(InputError, match=r"no frames of the camera left"):
        RecordedCameras(tmp_path / "nowhere", RIG)
    (folders / "top.mp4").write_text("no video")
    for picture in (folders / "top").iterdir():
        picture.unlink()
    with pytest.raises(InputError, match="no video that can be read"):
        RecordedCameras(folders, RIG)


def test_fitting_keeps_the_mean_and_leaves_the_right_size_alone():
    image = frames(0, 96)[0]
    small = fit(image, 48, 48)
    assert small.shape == (48, 48, 3)
    assert np.allclose(small.mean(), image.mean(), atol=1)
    assert fit(small, 48, 48) is small


class Still:
    def read(self):
        return HandReading(np.zeros(24), np.zeros((5, 3)))

    def command(self, targets):
        self.targets = targets

    def close(self):
        pass


def test_the_loop_runs_on_a_recording_until_it_ends(bundle, folders):
    loaded = load_bundle(bundle)
    source = VisionPose(loaded, RecordedCameras(folders, loaded.rig))
    loop = RobotLoop(loaded, Still(), source, TaskGoals("spin"), sleep=lambda _: None)
    assert len(list(loop.run())) == FRAMES
    assert not loop.telemetry.faults
    source.close()


def test_goals_change_when_the_believed_pose_reaches_them():
    from opendactyl.vision.estimator import Pose

    def pose(quaternion):
        return Pose(np.zeros(3), quaternion, np.eye(6))

    goals = TaskGoals("reorient", seed=3)
    first = goals.goal(pose(np.array([1.0, 0, 0, 0])))
    assert np.array_equal(goals.goal(pose(np.array([1.0, 0, 0, 0]))), first)
    assert goals.reached == 0
    assert not np.array_equal(goals.goal(pose(first)), first)
    assert goals.reached == 1
    with pytest.raises(InputError, match="no task"):
        TaskGoals("juggle")


def test_the_example_runs_as_it_stands(bundle):
    assert len(EXAMPLE.read_text().splitlines()) < 80
    done = subprocess.run(
        [sys.executable, "-P", str(EXAMPLE), str(bundle), "10"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout[done.stdout.index("{") :])
    assert report["actions"] == 10
    assert report["milliseconds"]["total"]["p50"] > 0
