"""Regions of interest of a rig in rendered datasets, and cameras that do not see the object."""

from dataclasses import replace

import numpy as np
import pytest

from opendactyl.core.errors import InputError
from opendactyl.datasets.format.manifest import iterate_samples, load_manifest
from opendactyl.datasets.generation.config import DatasetConfig, ResolvedConfig
from opendactyl.datasets.generation.generate import generate, repair
from opendactyl.datasets.generation.state_sources import state_source
from opendactyl.geometry.distortion import BROWN_CONRADY, Distortion
from opendactyl.geometry.rig import Rig, load_rig
from opendactyl.geometry.rig_import.rig_toml import write_rig
from opendactyl.render.appearance.config import PRESETS
from opendactyl.render.appearance.sampling import sample_appearance
from opendactyl.render.base import OBJECT
from opendactyl.render.episode_views import EpisodeViews
from opendactyl.render.factory import make_renderer
from opendactyl.sim.objects.shipped import object_spec

FRAME, SIZE = 160, 64
REGIONS = ((48, 32, 96, 96), None, (-40, 40, 128, 128))
"""Of the left and the top camera; that of the top one extends beyond its frame."""
LENS = Distortion(BROWN_CONRADY, (-0.3, 0.1, 0.0, 0.0))


@pytest.fixture(scope="module")
def rig():
    cameras = zip(load_rig("dactyl-200").cameras, REGIONS, strict=True)
    return Rig("regions", tuple(replace(c.scaled(FRAME, FRAME), roi=r) for c, r in cameras))


@pytest.fixture(scope="module")
def rig_file(rig, tmp_path_factory):
    path = tmp_path_factory.mktemp("rig") / "regions.toml"
    lens = tuple(replace(camera, distortion=LENS) for camera in rig.cameras)
    write_rig(Rig(rig.name, lens), path, "the test")
    return path


@pytest.fixture(scope="module")
def data(rig_file, tmp_path_factory):
    config = DatasetConfig(
        out=tmp_path_factory.mktemp("regions") / "data", num_samples=4, shard_size=2, seed=3,
        image_size=SIZE, image_format="png", workers=1, rig=str(rig_file), masks=True,
        depth=True,
    )  # fmt: skip
    return generate(config)


def test_a_dataset_shows_the_regions(data, rig):
    manifest = load_manifest(data)
    shown, raw = manifest.load_rig(), manifest.load_raw_rig()
    assert raw is not None and [camera.roi for camera in raw.cameras] == list(REGIONS)
    assert [camera.width for camera in raw.cameras] == [FRAME] * 3
    assert raw.cameras[0].distortion == LENS
    for camera, whole in zip(shown.cameras, rig.cameras, strict=True):
        left, top, width, height = whole.roi or (0, 0, FRAME, FRAME)
        pixels = whole.project([0.01, 0.02, 0.03])[0]
        expected = (pixels - [left, top]) * SIZE / [width, height]
        np.testing.assert_allclose(camera.project([0.01, 0.02, 0.03])[0], expected, atol=1e-6)
        assert (camera.roi, camera.width) == (None, SIZE)
    corners = object_spec("block").corners
    for sample in iterate_samples(data):
        sample.label.check(corners)
        for view, camera in enumerate(sample.label.true_cameras):
            rows, columns = np.nonzero(sample.masks[view] == OBJECT)
            middle = np.array([columns.mean() + 0.5, rows.mean() + 0.5])
            center = camera.project(sample.label.position)[0]
            if np.all((center > 12) & (center < SIZE - 12)):
                assert np.linalg.norm(middle - center) < 6


def test_images_are_crops_of_the_whole_frames(rig):
    """With jitter of the cameras, whose field of view is that of the whole frame."""
    (state,) = state_source("settled", "block").states(5, 0, 1)
    rng, obj = np.random.default_rng(0), object_spec("block")
    appearance = sample_appearance(rng, PRESETS["dactyl"], views=3, obj=obj)
    plain = Rig("whole", tuple(replace(camera, roi=None) for camera in rig.cameras))
    with make_renderer("classic", rig=plain, image_size=FRAME) as renderer:
        whole, true = renderer.render(state, appearance), renderer.cameras(appearance)
    crop = Rig("crop", tuple(replace(c, roi=REGIONS[0]) for c in rig.cameras)).views(96)
    with make_renderer("classic", rig=crop, image_size=96) as renderer:
        images, cameras = renderer.render(state, appearance), renderer.cameras(appearance)
    left, top, width, height = REGIONS[0]
    for image, frame, camera, jittered in zip(images, whole, cameras, true, strict=True):
        expected = frame[top : top + height, left : left + width]
        assert np.abs(image.astype(int) - expected).mean() < 1.0
        shifted = jittered.K.copy()
        shifted[:2, 2] -= left, top
        np.testing.assert_allclose(camera.K, shifted, atol=1e-9)


def test_there_is_nothing_beyond_the_frame(data):
    # 40 of 128 pixels on the left: 20 of 64.
    for sample in iterate_samples(data):
        assert not sample.images[2][:, :20].any() and not sample.masks[2][:, :20].any()
        assert not sample.depth[2][:, :20].any() and sample.depth[2][:56, 21:].all()
        assert sample.images[2][:, 21:].mean() > 5
        assert sample.images[0][:, :20].any() and sample.images[1][:, :20].any()


def test_a_dataset_with_regions_is_repaired_with_the_same_bytes(data):
    shard = data / "shard-000001.tar"
    content = shard.read_bytes()
    shard.write_bytes(content[:-700])
    assert repair(data, workers=1) == (shard.name,)
    assert shard.read_bytes() == content


def test_settings_of_a_rig_without_regions_are_unchanged():
    config = DatasetConfig(image_size=SIZE, rig="dactyl-200")
    content = ResolvedConfig.resolve(config).content()
    assert "raw_rig" not in content
    assert content["rig"] == load_rig("dactyl-200").resized(SIZE).to_dict()


def test_images_of_episodes_show_the_regions(rig_file, data):
    views = EpisodeViews(image_size=SIZE, rig=str(rig_file))
    (state,) = state_source("settled", "block").states(5, 0, 1)
    images = views.images(state, seed=0, episode=0)
    views.close()
    assert not images[2][:, :20].any() and images[0][:, :20].any()


def away(camera):
    pose = camera.cam_from_hand.copy()
    pose[0, 3] += 5.0
    return replace(camera, cam_from_hand=pose)


def test_a_camera_that_does_not_see_the_object_is_refused_before_rendering(tmp_path, rig):
    first, *others = (replace(camera, roi=None) for camera in rig.cameras)
    write_rig(Rig("blind", (away(first), *others)), tmp_path / "one.toml", "the test")
    expected = "camera 'left' of rig 'blind' does not see the working volume"
    with pytest.raises(InputError, match=expected):
        EpisodeViews(rig=tmp_path / "one.toml")
    write_rig(Rig("blind", tuple(map(away, rig.cameras))), tmp_path / "all.toml", "the test")
    config = DatasetConfig(out=tmp_path / "data", rig=str(tmp_path / "all.toml"), num_samples=1)
    with pytest.raises(InputError, match=r"no camera of rig 'blind' \(left, right, top\) sees"):
        generate(config)
    assert not (tmp_path / "data").exists()
