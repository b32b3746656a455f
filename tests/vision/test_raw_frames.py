"""Raw frames: undistorted, cropped and resized to the images of the network."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from opendactyl.core.errors import InputError
from opendactyl.geometry import undistortion
from opendactyl.geometry.distortion import Distortion
from opendactyl.geometry.rig import Rig, load_rig
from opendactyl.geometry.rotation import geodesic_angle
from opendactyl.vision.estimator import PoseEstimator
from opendactyl.vision.raw_frames import RawFrames, check_raw_rig, raw_frame

RIG = load_rig("dactyl-200")
SIZE, INPUT = 864, 288
"""Width and height of raw frames, and of the images of the shipped network."""
SHIPPED = Path(__file__).parents[2] / "pretrained" / "reorient" / "pose.onnx"
LENSES = {
    "barrel": Distortion("brown-conrady", (-1.0, 0.5, 0.01, -0.01, 0.0)),
    "fisheye": Distortion("kannala-brandt", (-1.0, 0.2, 0.0, 0.0)),
}
"""Strong, as the shipped cameras have long focal lengths."""


def raw_rig(lens=None, size=(SIZE, SIZE)):
    cameras = [replace(c.scaled(*size), distortion=lens or Distortion()) for c in RIG.cameras]
    return Rig("raw", tuple(cameras))


@pytest.fixture(scope="module")
def renders():
    """Images of a settled state at the raw size (V, H, W, 3)."""
    from opendactyl.datasets.generation.state_sources import state_source
    from opendactyl.render.appearance.config import PRESETS
    from opendactyl.render.appearance.sampling import sample_appearance
    from opendactyl.render.factory import make_renderer
    from opendactyl.sim.objects.shipped import object_spec

    (state,) = state_source("settled", "block").states(5, 0, 1)
    rng = np.random.default_rng(0)
    appearance = sample_appearance(rng, PRESETS["calibrated"], views=3, obj=object_spec("block"))
    with make_renderer(
        "classic", rig=RIG.resized(SIZE), object_name="block", image_size=SIZE
    ) as renderer:
        return renderer.render(state, appearance)


@pytest.fixture(scope="module")
def reference(renders):
    """The pose of the images shrunk as datasets shrink them."""
    shrunk = [Image.fromarray(i).resize((INPUT, INPUT), Image.Resampling.BOX) for i in renders]
    return PoseEstimator(SHIPPED).estimate(np.stack([np.asarray(image) for image in shrunk]))


def assert_same_pose(pose, reference, degrees=0.1):
    assert np.rad2deg(geodesic_angle(pose.quaternion, reference.quaternion)) < degrees
    np.testing.assert_allclose(pose.position, reference.position, atol=2e-4)


def test_raw_frames_without_a_lens_are_shrunk_like_datasets(renders, reference):
    for rig in (None, raw_rig()):
        estimator = PoseEstimator(SHIPPED, rig=RIG.resized(INPUT), raw_rig=rig)
        assert_same_pose(estimator.estimate(list(renders)), reference, 1e-6)


@pytest.mark.parametrize("lens", LENSES)
def test_lenses_are_undone(renders, reference, lens, monkeypatch):
    rig = raw_rig(LENSES[lens])
    pairs = zip(renders, RIG.resized(SIZE).cameras, rig.cameras, strict=True)
    frames = [raw_frame(*pair) for pair in pairs]
    estimator = PoseEstimator(SHIPPED, rig=RIG.resized(INPUT), raw_rig=rig)
    assert_same_pose(estimator.estimate(frames), reference)
    kept = PoseEstimator(SHIPPED, rig=RIG.resized(INPUT), raw_rig=raw_rig()).estimate(frames)
    assert np.rad2deg(geodesic_angle(kept.quaternion, reference.quaternion)) > 0.15
    # Without OpenCV.
    monkeypatch.setattr(undistortion.importlib.util, "find_spec", lambda name: None)
    assert_same_pose(estimator.estimate(frames), reference)


def test_a_region_is_cropped_and_cameras_may_differ_in_size():
    cameras = [replace(c.scaled(320, 320 + 40 * i), roi=(40, 60, 200, 160 + 20 * i))
               for i, c in enumerate(RIG.cameras)]  # fmt: skip
    raw = Rig("raw", tuple(cameras))
    views = raw.regions().resized(40)
    check_raw_rig(raw, views)
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (c.height, c.width, 3), dtype=np.uint8) for c in cameras]
    images = RawFrames(views, raw).images(frames)
    for image, frame, camera in zip(images, frames, cameras, strict=True):
        left, top, width, height = camera.roi
        crop = Image.fromarray(frame[top : top + height, left : left + width])
        np.testing.assert_array_equal(image, crop.resize((40, 40), Image.Resampling.BOX))


@pytest.mark.parametrize("lens", [Distortion(), LENSES["barrel"]])
def test_a_region_beyond_the_frame_is_black_there(lens):
    camera = replace(RIG.cameras[0].scaled(100, 100), roi=(-20, 0, 40, 40), distortion=lens)
    raw = Rig("raw", (camera,))
    (image,) = RawFrames(raw.regions().resized(40), raw).images(
        [np.full((100, 100, 3), 200, np.uint8)]
    )
    assert np.all(image[:, :18] == 0)
    assert np.all(image[5:, 22:] == 200)


def test_frames_of_another_size_are_refused():
    views = RIG.resized(64)
    frames = [np.zeros((480, 640, 3), np.uint8)] * 3
    with pytest.raises(InputError, match=f"left: the frame has 640×480 pixels, .* {SIZE}×{SIZE}"):
        RawFrames(views, raw_rig()).images(frames)
    with pytest.raises(InputError, match="pixels that are not square; give the calibration"):
        RawFrames(views).images(frames)
    with pytest.raises(InputError, match="got 2 frames; the cameras are left, right, top"):
        RawFrames(views).images(frames[:2])
    with pytest.raises(InputError, match=r"type float64 and shape \(64, 64\)"):
        RawFrames(views).images([np.zeros((64, 64))] * 3)


def test_a_rig_must_have_the_cameras_of_the_estimator():
    views = RIG.resized(64)
    check_raw_rig(raw_rig(LENSES["barrel"]), views)
    names = Rig("named", tuple(replace(c, name=c.name[::-1]) for c in RIG.cameras))
    with pytest.raises(InputError, match="are tfel, thgir, pot; the estimator's are left"):
        check_raw_rig(names, views)
    moved = RIG.cameras[1].cam_from_hand.copy()
    moved[0, 3] += 0.01
    right = replace(RIG.cameras[1], cam_from_hand=moved)
    with pytest.raises(InputError, match="camera 'right' of rig 'moved' is not where"):
        check_raw_rig(Rig("moved", (RIG.cameras[0], right, RIG.cameras[2])), views)


@pytest.mark.parametrize(
    ("order", "names"), [((2, 1, 0), "top, right, left"), ((0, 1), "left, ri")]
)
def test_raw_frames_of_cameras_in_another_order_or_number_are_refused(order, names):
    raw = raw_rig(LENSES["barrel"])
    other = Rig("other", tuple(raw.cameras[i] for i in order))
    with pytest.raises(InputError, match=f"cameras of rig 'other' are {names}"):
        PoseEstimator(SHIPPED, rig=RIG.resized(INPUT), raw_rig=other)


def test_the_size_of_a_frame_reveals_swapped_and_rotated_cameras():
    sizes = {"left": (640, 480), "right": (800, 600), "top": (640, 480)}
    rig = Rig("raw", tuple(c.scaled(*sizes[c.name]) for c in RIG.cameras))
    frames = RawFrames(RIG.resized(INPUT), rig)

    def given(*shapes):
        return [np.zeros((*shape, 3), np.uint8) for shape in shapes]

    assert frames.images(given((480, 640), (600, 800), (480, 640))).shape == (3, INPUT, INPUT, 3)
    with pytest.raises(InputError, match=r"camera left.*are these the frames of right"):
        frames.images(given((600, 800), (480, 640), (480, 640)))
    with pytest.raises(InputError, match=r"camera top.*is the camera rotated by 90"):
        frames.images(given((480, 640), (600, 800), (640, 480)))
