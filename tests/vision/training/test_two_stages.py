"""Estimators with a second look at the object, from the data to the report."""

import dataclasses
import shutil

import numpy as np
import pytest
import torch

from opendactyl.core.atomic_files import read_json
from opendactyl.core.errors import InputError
from opendactyl.datasets.format.manifest import load_manifest
from opendactyl.datasets.generation.config import DatasetConfig
from opendactyl.datasets.generation.generate import generate
from opendactyl.datasets.loading.cache import open_dataset
from opendactyl.datasets.loading.decoding import WindowSize
from opendactyl.datasets.loading.device_augmentation import DeviceAugmentation
from opendactyl.models.pose.close_up import Windows, anchor_squares
from opendactyl.models.pose.observations import project, projection_matrices
from opendactyl.models.pose.outputs import Crops
from opendactyl.vision.evaluation.config import EvalConfig
from opendactyl.vision.evaluation.evaluate import evaluate
from opendactyl.vision.measures.predictions import predict
from opendactyl.vision.training.checkpoints import first_stage, load_module
from opendactyl.vision.training.config import VisionConfig
from opendactyl.vision.training.data_sizes import (
    crop_size,
    has_two_stages,
    window_size,
    with_image_size,
)
from opendactyl.vision.training.train import build_module, make_data, train
from opendactyl.vision.training.warm_start import load_network

FRAME = 192


@pytest.fixture(scope="session")
def frames(home, once):
    """Training and validation data with frames for two stages."""

    def make(folder):
        for name, seed in (("train", 30), ("val", 31)):
            settings = {"num_samples": 4, "seed": seed, "image_size": FRAME, "shard_size": 4}
            generate(DatasetConfig(out=folder / name, workers=1, masks=name == "train", **settings))
        return folder

    return once(home / "frames", make)


@pytest.fixture(scope="session")
def settings(frames):
    return VisionConfig(
        data=(frames / "train",), val_data=frames / "val", out=frames / "run", image_size=FRAME,
        batch_size=2, max_epochs=2, workers=0, accelerator="cpu", from_scratch=True,
    )  # fmt: skip


@pytest.fixture(scope="session")
def run(settings, once):
    return once(settings.out, lambda _: train(settings))


def test_windows_are_cut_from_the_frames_around_the_object(frames, settings):
    windows = window_size(settings)
    assert windows is not None and windows.frame == FRAME and windows.side < FRAME
    data = open_dataset(frames / "train", FRAME // 3, windows=windows)
    assert (
        data.windows is not None
        and data.window_corners is not None
        and data.window_masks is not None
    )
    for i, views in enumerate(data.frames(FRAME, len(data))):
        corners = np.rint(data.window_corners[i] * FRAME).astype(int)
        for view, (x, y) in enumerate(corners):
            cut = views[view, y : y + windows.side, x : x + windows.side]
            np.testing.assert_array_equal(data.windows[i, view], cut)
        middle = data.keypoints[i].mean(axis=1) - data.window_corners[i]
        assert np.all(np.abs(middle * FRAME / windows.side - 0.5) < 0.1)
        assert (data.window_masks[i] == 2).any(axis=(1, 2)).all()
    assert open_dataset(frames / "train", FRAME // 3).windows is None
    other = open_dataset(frames / "train", FRAME // 3, windows=WindowSize(FRAME, 40))
    assert other.windows is not None and other.windows.shape[2:] == (40, 40, 3)


def test_a_run_learns_both_stages(run, settings):
    module = load_module(run)
    assert module.two_stages and module.calibrated and module.image_size == FRAME
    assert module.hparams["crop_size"] == 64
    untrained = build_module(settings, make_data(settings)).network.state_dict()
    for name, value in module.network.state_dict().items():
        if name.endswith("conv.weight") or name in ("log_trust", "spread"):
            assert not torch.equal(value, untrained[name]), name
    assert module.first_log_std_shift.abs().sum() > 0


def test_a_finished_run_resumes(run, settings, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    longer = dataclasses.replace(settings, out=tmp_path / "run", max_epochs=3, resume=True)
    assert load_module(train(longer)).two_stages


@pytest.fixture
def no_report(monkeypatch):
    """Drawing takes most of an evaluation."""
    monkeypatch.setattr("opendactyl.vision.evaluation.evaluate.write_report", lambda *_: None)


def test_both_stages_are_evaluated(run, frames, tmp_path):
    evaluate(EvalConfig(model=run, data=frames / "val", out=tmp_path / "both"))
    assert read_json(tmp_path / "both/config.json")["stages"] == 2
    assert (tmp_path / "both/report.html").exists()


@pytest.mark.usefixtures("no_report")
def test_the_first_stage_is_evaluated_alone(run, frames, tmp_path, capsys):
    config = EvalConfig(model=run, data=frames / "val", out=tmp_path / "both")
    both = evaluate(config)
    first = evaluate(dataclasses.replace(config, coarse=True, out=tmp_path / "first"))
    assert read_json(tmp_path / "first/config.json")["stages"] == 1
    assert "the first stage alone, on images of 64 pixels" in capsys.readouterr().err
    assert first["rotation_error_deg"] != both["rotation_error_deg"]
    with pytest.raises(InputError, match="leave out --coarse"):
        first_stage(first_stage(load_module(run)))


@pytest.mark.usefixtures("no_report")
def test_small_images_are_estimated_by_the_first_stage(run, val_dataset, tmp_path, capsys):
    evaluate(EvalConfig(model=run, data=val_dataset, out=tmp_path / "small"))
    assert read_json(tmp_path / "small/config.json")["stages"] == 1
    assert "have 64" in capsys.readouterr().err


def test_the_first_stage_alone_gives_the_first_estimate(run, frames):
    module = load_module(run)
    data = open_dataset(frames / "val", FRAME // 3)
    images = torch.from_numpy(np.stack(list(data.frames(FRAME, 2))))
    with torch.no_grad():
        first = module({"images": images}).first
    alone = predict(first_stage(module), data, 2)
    # The cache's images are rounded.
    np.testing.assert_allclose(alone.position, first.position, atol=1e-3)


def test_weights_of_one_stage_become_the_first_and_the_reverse(settings):
    coarse = dataclasses.replace(settings, coarse=True, image_size=FRAME // 3)
    one, two = (build_module(config, make_data(config)) for config in (coarse, settings))
    weights = {name: weight.clone() for name, weight in one.network.state_dict().items()}
    load_network(two, weights)
    stored = two.network.state_dict()
    for name in ("tower.stem.0.weight", "fuse.0.weight"):
        assert torch.equal(stored[f"first.{name}"], weights[name])
    assert torch.equal(stored["second.tower.stem.0.weight"], weights["tower.stem.0.weight"])
    other = build_module(settings, make_data(settings))
    load_network(other, stored)
    assert torch.equal(other.network.state_dict()["second.tower.maps.weight"],
                       stored["second.tower.maps.weight"])  # fmt: skip
    again = build_module(coarse, make_data(coarse))
    load_network(again, stored)
    assert torch.equal(again.network.state_dict()["fuse.0.weight"], weights["fuse.0.weight"])


def test_the_data_decides_the_image_size(settings, dataset, val_dataset):
    small = dataclasses.replace(settings, data=(dataset,), val_data=val_dataset, image_size=0)
    assert with_image_size(small).image_size == 64
    assert not has_two_stages(with_image_size(small))
    medium = dataclasses.replace(settings, image_size=0)
    assert with_image_size(medium).image_size == 128
    assert with_image_size(settings) == settings
    assert not has_two_stages(dataclasses.replace(settings, coarse=True))
    assert not has_two_stages(dataclasses.replace(settings, image_size=200))
    assert not has_two_stages(dataclasses.replace(settings, model="dactyl"))
    manifests = [part.manifest for part in make_data(settings).train]
    assert crop_size(dataclasses.replace(settings, coarse=True), manifests) == 0
    unknown = [dataclasses.replace(manifests[0], statistics=None)]
    with pytest.raises(InputError, match="--coarse"):
        crop_size(settings, unknown)


def test_batches_are_augmented_on_the_device(settings, run, tmp_path, monkeypatch):
    """The data has masks, which the augmentation takes; validation is not augmented."""
    seen = []
    augment = DeviceAugmentation.__call__

    def record(self, images, number, masks=None):
        seen.append((images.shape[2], number, masks is not None))
        return augment(self, images, number, masks)

    monkeypatch.setattr(DeviceAugmentation, "__call__", record)
    chosen = dataclasses.replace(settings, out=tmp_path / "run", augment_on="device", max_epochs=1)
    train(chosen)
    window = window_size(settings).side
    crop = crop_size(settings, [load_manifest(settings.data[0])])
    sizes = (64, window, crop)
    assert seen == [(size, number, True) for number, size in enumerate(2 * sizes)]
    # A run on another machine may go on with the other augmentation.
    train(dataclasses.replace(chosen, augment_on="auto", max_epochs=2, resume=True))
    assert len(seen) == 6
    with pytest.raises(InputError, match="--augment-on is 'cpu'; choose from auto, loader, device"):
        dataclasses.replace(chosen, augment_on="cpu").check()


def test_crops_of_the_anchors_are_cached_as_the_network_cuts_them(frames, settings):
    manifest = load_manifest(frames / "train")
    windows = window_size(settings)
    assert (len(windows.anchor_squares), windows.anchor_size) == (
        3,
        crop_size(settings, [manifest]),
    )
    cached = open_dataset(frames / "train", FRAME // 3, windows=windows)
    assert cached.anchor_crops.shape == (4, 3, *2 * (windows.anchor_size,), 3)
    assert cached.anchor_masks.shape == cached.anchor_crops.shape[:-1]
    network = build_module(settings, make_data(settings)).network
    rig = manifest.load_rig().resized(FRAME)
    matrices = (torch.tensor(m, dtype=torch.float32) for m in (rig.intrinsics, rig.extrinsics))
    whole = torch.from_numpy(np.stack(list(cached.frames(FRAME, 4))))
    crops = anchor_squares(
        project(network.first.anchors[None], projection_matrices(*matrices, FRAME))[0][0]
    )
    crops = Crops(crops.centre.expand(4, -1, -1), crops.side.expand(4, -1))
    cut = network.second._cut(Windows(whole, torch.zeros(4, 3, 2), 1.0), crops)
    cut = cut.unflatten(0, (4, 3)).permute(0, 1, 3, 4, 2)
    assert (cut - torch.from_numpy(np.array(cached.anchor_crops))).abs().max() < 0.51
