"""Recordings as a camera source."""

import subprocess
import sys

import numpy as np
import pytest

from opendactyl.control.bundle.load import load_bundle
from opendactyl.control.recordings.cameras import RecordedCameras, fit_image
from opendactyl.control.runtime.goals import TaskGoals
from opendactyl.control.runtime.interfaces import EndOfRecording, HandReading
from opendactyl.control.runtime.robot_loop import RobotLoop
from opendactyl.control.runtime.vision_pose import VisionPose
from opendactyl.core.errors import InputError
from opendactyl.geometry.rig import load_rig

FRAMES = 4
RIG = load_rig("dactyl-200").resized(48)


def test_pictures_are_played_together_to_the_end(folders, frames):
    cameras = RecordedCameras(folders, RIG)
    for k in range(FRAMES):
        views = cameras.read()
        assert len(views) == 3
        for number, view in enumerate(views):
            assert np.array_equal(view, frames(number)[k])
    with pytest.raises(EndOfRecording):
        cameras.read()
    cameras.close()


def test_pictures_are_played_by_the_numbers_in_their_names(folders, frames):
    for camera in RIG.names:
        for k in range(FRAMES):
            (folders / camera / f"{k:06d}.png").rename(folders / camera / f"frame_{4 * k}.png")
    cameras = RecordedCameras(folders, RIG)
    for k in range(FRAMES):
        assert np.array_equal(cameras.read()[0], frames(0)[k])


NAMES = {
    "time stamps": lambda _: ("1305031102.975304", "1305031103.04", "1305031103.175", "1305031104"),
    "two numbers": lambda _: ("take_1_frame_7", "take_1_frame_12", "take_2_frame_3", "take_3_0"),
    "suffix": lambda camera: [f"{k}_cam{camera}" for k in (8, 9, 10, 11)],
    "prefix": lambda camera: [f"cam{camera}.{k:04d}" for k in (8, 9, 10, 11)],
    "counts": lambda camera: [f"{'take2_' if camera == 0 else ''}{k}" for k in (8, 9, 10, 11)],
}
"""Names of the pictures of a camera by its number, in the order of playing."""


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_pictures_are_ordered_by_all_numbers_in_their_names(folders, names, frames):
    for number, camera in enumerate(RIG.names):
        for k, name in enumerate(names(number)):
            (folders / camera / f"{k:06d}.png").rename(folders / camera / f"{name}.png")
    cameras = RecordedCameras(folders, RIG)
    for k in range(FRAMES):
        for number, view in enumerate(cameras.read()):
            assert np.array_equal(view, frames(number)[k])
    with pytest.raises(EndOfRecording):
        cameras.read()


@pytest.mark.parametrize(("name", "matches"), [("1_cam{}", True), ("cam{}_0", True), ("{}", False)])
def test_single_pictures_are_matched_by_the_number_that_is_not_the_cameras(folders, name, matches):
    for number, camera in enumerate(RIG.names):
        for k in range(1, FRAMES):
            (folders / camera / f"{k:06d}.png").unlink()
        (folders / camera / "000000.png").rename(folders / camera / f"{name.format(number)}.png")
    if matches:
        assert len(RecordedCameras(folders, RIG).read()) == len(RIG.names)
    else:
        with pytest.raises(InputError, match="no number is common"):
            RecordedCameras(folders, RIG)


def test_a_damaged_picture_is_missing_and_the_others_stay_matched(folders, frames):
    damaged = folders / "right" / "000001.png"
    damaged.write_bytes(damaged.read_bytes()[:200])
    cameras = RecordedCameras(folders, RIG)
    rows = [cameras.read() for _ in range(FRAMES)]
    assert [[view is None for view in views] for views in rows] == [
        [name == "right" and k == 1 for name in RIG.names] for k in range(FRAMES)
    ]
    assert np.array_equal(rows[3][RIG.names.index("right")], frames(RIG.names.index("right"))[3])


def test_recordings_of_other_cameras_are_refused(folders, tmp_path):
    with pytest.raises(InputError, match=r"no frames of the camera left"):
        RecordedCameras(tmp_path / "nowhere", RIG)
    for camera in RIG.names:
        (tmp_path / f"{camera}.mp4").write_text("not a video")
        for picture in (folders / camera).iterdir():
            picture.unlink()
    with pytest.raises(InputError, match="not a video that can be read"):
        RecordedCameras(folders, RIG)


def test_a_missing_number_is_a_missing_frame_and_no_shift(folders, caplog, frames):
    (folders / "right" / "000001.png").unlink()
    (folders / "top" / "000003.png").unlink()
    cameras = RecordedCameras(folders, RIG)
    for k in range(FRAMES):
        for number, (name, view) in enumerate(zip(RIG.names, cameras.read(), strict=True)):
            if (name, k) in (("right", 1), ("top", 3)):
                assert view is None
            else:
                assert np.array_equal(view, frames(number)[k])
    with pytest.raises(EndOfRecording):
        cameras.read()
    assert "right lacks 1 of 4 frames" in caplog.text


def test_pictures_that_cannot_be_matched_are_refused(folders):
    top = folders / "top"
    (top / "000000.png").rename(top / "first.png")
    with pytest.raises(InputError, match=r"first\.png has no number"):
        RecordedCameras(folders, RIG)
    (top / "first.png").rename(top / "0_1.png")
    with pytest.raises(InputError, match="have the same number"):
        RecordedCameras(folders, RIG)
    (top / "0_1.png").unlink()
    for k in range(1, FRAMES):
        (top / f"{k:06d}.png").rename(top / f"{k + 100}.png")
    with pytest.raises(InputError, match="no number is common to the cameras left, right, top"):
        RecordedCameras(folders, RIG)


def test_recordings_are_opened_without_pyav_until_there_is_a_video(folders):
    code = """
import sys
sys.modules["av"] = None
from opendactyl.control.recordings.cameras import RecordedCameras
from opendactyl.core.errors import InputError
from opendactyl.geometry.rig import load_rig
rig = load_rig("dactyl-200").resized(48)
assert len(RecordedCameras(sys.argv[1], rig).read()) == 3
for name in rig.names:
    for picture in __import__("pathlib").Path(sys.argv[1], name).iterdir():
        picture.unlink()
try:
    RecordedCameras(sys.argv[1], rig)
except InputError as error:
    print(error)
"""
    for name in RIG.names:
        (folders / f"{name}.mp4").write_bytes(b"")
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, str(folders)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "pip install av" in done.stdout, done.stderr


def test_fit_keeps_the_mean_and_returns_images_of_the_right_size(frames):
    image = frames(0, 96)[0]
    small = fit_image(image, 48, 48)
    assert small.shape == (48, 48, 3)
    assert np.allclose(small.mean(), image.mean(), atol=1)
    assert fit_image(small, 48, 48) is small


class StillHand:
    def read(self):
        return HandReading(np.zeros(24), np.zeros((5, 3)))

    def command(self, targets):
        self.targets = targets

    def close(self):
        pass


def test_the_loop_runs_to_the_end_of_a_recording(bundle, folders):
    loaded = load_bundle(bundle)
    source = VisionPose(loaded, RecordedCameras(folders, loaded.rig))
    loop = RobotLoop(loaded, StillHand(), source, TaskGoals("spin"), sleep=lambda _: None)
    assert len(list(loop.run())) == FRAMES
    assert not loop.telemetry.faults
    source.close()
