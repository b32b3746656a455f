"""Wrong wiring of the cameras is named, and reported by the loop; right wiring is accepted."""

from pathlib import Path

import numpy as np
import pytest

from opendactyl.benchmarks.studies.wiring import made
from opendactyl.control.bundle.load import load_bundle
from opendactyl.control.estimation.rig_check import find_mistakes
from opendactyl.control.imitation.demonstrate import rendered_frames
from opendactyl.control.runtime.interfaces import Fault, HandReading
from opendactyl.control.runtime.reprojection import WINDOW
from opendactyl.control.runtime.vision_pose import VisionPose
from opendactyl.control.runtime.wiring import (
    CONFIRMATIONS,
    Change,
    Mistake,
    WiringMonitor,
    mistakes,
)
from opendactyl.datasets.generation.state_sources import state_source
from opendactyl.render.appearance.config import PRESETS
from opendactyl.render.appearance.sampling import sample_appearance
from opendactyl.sim.objects.shipped import object_spec
from opendactyl.vision.estimator import Pose

SHIPPED = Path(__file__).parents[3] / "pretrained" / "reorient"
NAMES = ("left", "right", "top")
SQUARE = [(8, 8, 3)] * 3
READING = HandReading(np.zeros(24), np.zeros((5, 3)))


@pytest.fixture(scope="module")
def estimator_bundle():
    return load_bundle(SHIPPED, threads=1)


@pytest.fixture(scope="module")
def moments(estimator_bundle):
    """Frame sets of settled states, in one appearance of the preset `dactyl`."""
    rng, states = np.random.default_rng(3), state_source("settled", "block").states(5, 0, 3)
    look = sample_appearance(rng, PRESETS["dactyl"], views=3, obj=object_spec("block"))
    return list(rendered_frames(estimator_bundle, list(states), look))


def the(text, shapes=SQUARE):
    """The mistake that is described by a text."""
    (found,) = [m for m in mistakes(shapes) if m.describe(NAMES) == text]
    return found


def test_every_mistake_has_a_correction_and_a_name_of_its_own():
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (8, 8, 3), dtype=np.uint8) for _ in NAMES]
    known = mistakes(SQUARE)
    assert len({mistake.describe(NAMES) for mistake in known}) == len(known) == 27
    for mistake in known:
        shown = made(mistake, frames)
        assert not all(map(np.array_equal, shown, frames))
        corrected = mistake.corrected(shown)
        assert all(map(np.array_equal, corrected, frames)), mistake.describe(NAMES)


def test_the_words_of_mistakes():
    rotated = the("top is rotated by 90° clockwise")
    image = np.zeros((8, 8, 3), np.uint8)
    image[0] = 255  # The upper edge is then on the right.
    shown = made(rotated, [image] * 3)
    assert (shown[2][:, -1] == 255).all() and not shown[2][:, 0].any()
    assert the("all cameras are BGR instead of RGB").changes == (Change(bgr=True),) * 3
    assert the("left and top are swapped").sources == (2, 1, 0)
    assert the("right is mirrored").defects(NAMES) == {"right": "is mirrored"}
    turned = Mistake((1, 2, 0), (Change(),) * 3)
    frames = [np.full((8, 8, 3), k, np.uint8) for k in range(3)]
    # As the text says: the frame of left is that of top, and so on.
    assert [int(frame[0, 0, 0]) for frame in made(turned, frames)] == [2, 0, 1]
    assert turned.describe(NAMES) == (
        "right shows the images of left, top shows the images of right, "
        "left shows the images of top"
    )


def test_cameras_of_other_sizes_cannot_be_swapped_unnoticed():
    texts = [m.describe(NAMES) for m in mistakes([(8, 8, 3), (6, 8, 3), (6, 8, 3)])]
    assert [text for text in texts if "swapped" in text] == ["right and top are swapped"]
    assert [text for text in texts if "90°" in text] == [
        "left is rotated by 90° clockwise", "left is rotated by 90° counter-clockwise",
    ]  # fmt: skip
    assert all(len(m.sources) == 1 for m in mistakes([(8, 8, 3)]))


@pytest.mark.parametrize(
    "texts",
    [
        [],
        ["all cameras are BGR instead of RGB"],
        ["left and right are swapped"],
        ["top is mirrored"],
        ["right is upside down"],
        ["all cameras are upside down"],
        ["all cameras are BGR instead of RGB", "left and top are swapped"],
    ],
)
def test_mistakes_in_renders_are_named(estimator_bundle, moments, texts):
    shown = moments
    for text in texts:
        shown = [made(the(text, [f.shape for f in frames]), frames) for frames in shown]
    verdict = find_mistakes(estimator_bundle, shown)
    assert sorted(text for text, _ in verdict.mistakes) == sorted(texts)
    assert verdict.passed == (not texts)
    assert not verdict.uncertain
    assert set(verdict.offsets) == set(NAMES) and max(verdict.offsets.values()) < 0.1


def test_a_camera_that_has_moved_is_named(estimator_bundle, moments):
    moved = [[np.roll(frames[0], 60, axis=1), *frames[1:]] for frames in moments]
    verdict = find_mistakes(estimator_bundle, moved)
    assert not verdict.passed and not verdict.mistakes
    assert "not where its calibration says" in verdict.defects["left"][0]
    assert not verdict.defects["right"] and not verdict.defects["top"]


def test_images_without_the_object_are_uncertain(estimator_bundle):
    rng = np.random.default_rng(0)
    noise = [[rng.integers(0, 256, (480, 640, 3), np.uint8) for _ in NAMES] for _ in range(2)]
    verdict = find_mistakes(estimator_bundle, noise)
    assert not verdict.passed
    assert "uncertain" in verdict.uncertain


class Played:
    """Repeats frame sets, as a mistake shows them."""

    def __init__(self, moments, mistake=None, shift=0):
        self.moments, self.mistake, self.shift, self.calls = moments, mistake, shift, 0

    def read(self):
        frames = self.moments[self.calls % len(self.moments)]
        frames = [np.roll(frames[0], self.shift, axis=1), *frames[1:]]
        self.calls += 1
        return made(self.mistake, frames) if self.mistake else frames

    def close(self):
        pass


def faults(source, actions):
    found = []
    for _ in range(actions):
        try:
            source.pose(READING)
            found.append("")
        except Fault as fault:
            assert fault.component == "wiring"
            found.append(str(fault))
    return found


def test_the_loop_reports_wrong_wiring_within_three_seconds(estimator_bundle, moments):
    wrong = the("left and right are swapped", [f.shape for f in moments[0]])
    cameras = Played(moments, wrong)
    source = VisionPose(estimator_bundle, cameras, raw=True)
    found = faults(source, round(3 / estimator_bundle.period))
    first = next(number for number, text in enumerate(found) if text)
    assert first <= 27 + CONFIRMATIONS and all(found[first:])
    assert "left and right are swapped: corrected" in found[first]
    # The fault ends once the cameras are right.
    cameras.mistake = None
    assert not any(faults(source, 12)[2 * CONFIRMATIONS :])
    source.restart()
    assert not any(faults(source, 10))


def test_the_loop_accepts_right_wiring(estimator_bundle, moments):
    assert not any(faults(VisionPose(estimator_bundle, Played(moments), raw=True), 60))


def test_the_loop_reports_a_camera_that_has_moved_within_three_seconds(estimator_bundle, moments):
    cameras = Played(moments, shift=60)
    source = VisionPose(estimator_bundle, cameras, raw=True)
    found = faults(source, round(3 / estimator_bundle.period))
    first = next(number for number, text in enumerate(found) if text)
    assert first >= WINDOW - 1 and all(found[first:])
    assert "left is not where its calibration says" in found[first]
    assert "right" not in found[first] and "top" not in found[first]
    # The fault ends once the camera is back.
    cameras.shift = 0
    assert not any(faults(source, 2 * WINDOW)[WINDOW:])


@pytest.mark.parametrize("text", ["left is mirrored", "right is upside down"])
def test_a_mistake_of_the_wiring_is_not_taken_for_one_of_the_calibration(
    estimator_bundle, moments, text
):
    """In square frames more mistakes are tested than the calibration needs poses."""
    square = [list(estimator_bundle.estimator.raw_frames.images(frames)) for frames in moments]
    cameras = Played(square, the(text, [frame.shape for frame in square[0]]))
    source = VisionPose(estimator_bundle, cameras)
    found = faults(source, 40)
    assert any(found) and all(text in fault for fault in found if fault)
    cameras.mistake = None
    assert not any("calibration" in fault for fault in faults(source, 40))


def with_entropy(value):
    return Pose(np.zeros(3), np.array([1.0, 0, 0, 0]), np.eye(6) * np.exp(value / 3))


@pytest.mark.parametrize(("gain", "reported"), [(0.7, False), (1.3, True)])
def test_a_camera_that_has_moved_a_little_is_no_mistake_of_the_wiring(gain, reported):
    """A wrong correction of the geometry may gain something then, though less than a right one."""
    frames = [np.full((6, 8, 3), k, np.uint8) for k in range(3)]
    mirrored = the("right is mirrored", [frame.shape for frame in frames])
    monitor = WiringMonitor(NAMES, lambda _: with_entropy(1.0))
    rng, faulty = np.random.default_rng(0), False
    for _ in range(60):
        moving = [rng.integers(0, 256, frame.shape, dtype=np.uint8) for frame in frames]
        right = [frame.tobytes() for frame in mirrored.corrected(moving)]
        monitor.estimate = lambda shown, right=right: with_entropy(
            -gain if [frame.tobytes() for frame in shown] == right else 1.0
        )
        try:
            monitor.update(moving, with_entropy(0.0))
        except Fault:
            faulty = True
    assert faulty == reported


def test_a_false_suspect_does_not_hide_the_mistake():
    """A correction that gained most by luck is rejected, and the next one confirmed."""
    frames = [np.full((6, 8, 3), k, np.uint8) for k in range(3)]
    known = mistakes([frame.shape for frame in frames])
    lucky_one, real = known[4], known[7]
    calls = []

    def estimate(corrected):
        calls.append([frame.tobytes() for frame in corrected])
        is_real = calls[-1] == [frame.tobytes() for frame in real.corrected(moving)]
        lucky = len(calls) == known.index(lucky_one) + 1
        return with_entropy(-9.0 if lucky else -5.0 if is_real else 1.0)

    monitor, rng = WiringMonitor(NAMES, estimate), np.random.default_rng(0)
    for action in range(len(known) + 1 + CONFIRMATIONS):
        moving = [rng.integers(0, 256, frame.shape, dtype=np.uint8) for frame in frames]
        if action < len(known) + CONFIRMATIONS:
            monitor.update(moving, with_entropy(0.0))
        else:
            with pytest.raises(Fault, match=real.describe(NAMES)):
                monitor.update(moving, with_entropy(0.0))
