"""Estimators with the cameras of training, and with others."""

import json
import shutil
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from opendactyl.control.packaging.build import export_bundle
from opendactyl.control.packaging.config import NO_POLICY, ExportConfig
from opendactyl.core.atomic_files import read_json
from opendactyl.core.errors import InputError
from opendactyl.datasets.export.bop import export_bop
from opendactyl.datasets.generation.generate import DatasetConfig, generate
from opendactyl.datasets.loading.cache import open_dataset
from opendactyl.geometry.rig import Rig, load_rig
from opendactyl.vision.estimator import PoseEstimator
from opendactyl.vision.evaluation.config import EvalConfig
from opendactyl.vision.evaluation.data import open_data
from opendactyl.vision.evaluation.evaluate import evaluate
from opendactyl.vision.export import export_pose
from opendactyl.vision.training.checkpoints import load_module
from opendactyl.vision.training.train import build_module, make_data, train


@pytest.mark.slow
def test_views_limits_the_cameras_of_an_estimator(val_dataset, tiny, tmp_path):
    run = train(tiny(tmp_path / "run", views=1))
    module = load_module(run)
    assert module.views == 1
    metrics = evaluate(EvalConfig(model=run, data=val_dataset, out=tmp_path / "report"))
    assert np.isfinite(metrics["rotation_error_deg"]["mean"])
    entry = export_pose(module, Rig.from_dict(module.hparams["rig"]), tmp_path / "pose.onnx")
    assert entry["inputs"]["images"] == ["batch", 1, 64, 64, 3]


def test_other_cameras_are_refused(vision_run, val_dataset, tmp_path, monkeypatch):
    shutil.copytree(val_dataset, tmp_path / "data")
    manifest = read_json(tmp_path / "data" / "manifest.json")
    manifest["rig"]["cameras"][1]["cam_from_hand"][0][3] += 0.01
    (tmp_path / "data" / "manifest.json").write_text(json.dumps(manifest))
    monkeypatch.setattr("opendactyl.vision.evaluation.evaluate.predict", None)
    with pytest.raises(InputError, match="camera 'right'"):
        evaluate(EvalConfig(model=vision_run, data=tmp_path / "data", out=tmp_path / "out"))


def test_datasets_of_other_cameras_are_refused_before_they_are_decoded(tiny, val_dataset, tmp_path):
    other = tmp_path / "data"
    shutil.copytree(val_dataset, other, ignore=shutil.ignore_patterns(".cache"))
    text = (other / "manifest.json").read_text()
    (other / "manifest.json").write_text(text.replace('"left"', '"front"'))
    with pytest.raises(InputError, match="differ in rig, object or hand"):
        make_data(tiny(tmp_path / "run", val_data=other, image_size=192))
    assert not (other / ".cache").exists()


def test_an_estimator_of_some_cameras_is_evaluated_with_these(
    vision_run, tiny, val_dataset, tmp_path
):
    settings = tiny(tmp_path / "run", model="keypoint", views=2)
    module = build_module(settings, make_data(settings))
    config = EvalConfig(model=vision_run, data=val_dataset, out=tmp_path / "out")
    assert module.any_cameras and module.views == 2
    _, data = open_data(config, module)
    assert data.rig.names == ("left", "right")
    assert module.views == 2
    other = Rig("other", tuple(replace(c, name=c.name[::-1]) for c in data.rig.cameras))
    module.set_cameras(other)
    _, data = open_data(config, module)
    assert data.rig.names == ("left", "right", "top"), "all cameras of another rig"


def test_small_images_are_enlarged_for_an_estimator_with_one_stage(vision_run, tmp_path, capsys):
    small = tmp_path / "small"
    generate(DatasetConfig(out=small, num_samples=2, seed=5, image_size=48, workers=1))
    config = EvalConfig(model=vision_run, data=small, out=tmp_path / "out")
    _, data = open_data(config, load_module(vision_run))
    assert data.images.shape[2] == 64
    assert f"enlarging the images of {small} from 48 to 64 pixels" in capsys.readouterr().err


@pytest.mark.slow
def test_a_keypoint_network_works_with_other_cameras(tiny, tmp_path):
    run = train(tiny(tmp_path / "run", model="keypoint"))
    text = resources.files("opendactyl.configs").joinpath("rigs/dactyl.toml").read_text()
    tables = text.split("[[camera]]")
    rig = tmp_path / "two.toml"
    rig.write_text("[[camera]]".join([tables[0], tables[3], tables[1]]))
    data = generate(
        DatasetConfig(
            out=tmp_path / "data", num_samples=3, seed=5, image_size=64, workers=1, rig=str(rig)
        )
    )
    metrics = evaluate(EvalConfig(model=run, data=data, out=tmp_path / "report"))
    assert metrics["n"] == 3
    # With views and cameras permuted alike, the poses are equal.
    module = load_module(run)
    images = np.array(open_dataset(data, 64).images)
    with pytest.raises(InputError, match="images of 2 cameras were given, not 3"):
        module.estimate_batch(images)
    module.set_cameras(load_rig(str(rig)))
    forward = module.estimate_batch(images)
    order = load_rig(str(rig))
    module.set_cameras(Rig("swapped", order.cameras[::-1]))
    for a, b in zip(forward, module.estimate_batch(images[:, ::-1].copy()), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)
    export_pose(module, order.resized(64), tmp_path / "pose.onnx")
    with pytest.raises(InputError, match="takes any cameras"):
        PoseEstimator(tmp_path / "pose.onnx")
    # The exported network takes the cameras as inputs: here others, in number too.
    swapped = Rig("swapped", order.cameras[::-1])
    for some in (swapped, Rig("one", order.cameras[:1])):
        module.set_cameras(some)
        exported = PoseEstimator(tmp_path / "pose.onnx", rig=some.resized(64))
        views = images[:, ::-1][:, : len(some.cameras)].copy()
        for a, b in zip(exported.estimate_batch(views), module.estimate_batch(views), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-3)


def test_a_network_specific_to_its_cameras_refuses_others(vision_run):
    module = load_module(vision_run)
    with pytest.raises(InputError, match="train --model keypoint"):
        module.set_cameras(Rig.from_dict(module.hparams["rig"]))


@pytest.mark.slow
def test_a_bundle_for_any_cameras_is_evaluated_on_a_bop_dataset(tiny, val_dataset, tmp_path):
    run = train(tiny(tmp_path / "run", model="keypoint"))
    bundle = export_bundle(ExportConfig(vision=run, policy=NO_POLICY, out=tmp_path / "bundle"))
    bop = f"bop:{export_bop(val_dataset, tmp_path / 'bop')}"
    found, expected = (
        evaluate(EvalConfig(model=model, data=Path(bop), out=tmp_path / model.name / "report"))
        for model in (bundle, run)
    )
    assert found["n"] == 12
    for name in ("rotation_error_deg", "position_error_mm", "mspd_px"):
        assert found[name]["mean"] == pytest.approx(expected[name]["mean"], rel=0.01)
    other = generate(
        DatasetConfig(
            out=tmp_path / "other",
            num_samples=3,
            seed=8,
            rig="dactyl-200",
            image_size=64,
            workers=1,
        )
    )
    found, expected = (
        evaluate(EvalConfig(model=model, data=other, out=tmp_path / model.name / "other"))
        for model in (bundle, run)
    )
    assert found["rotation_error_deg"]["mean"] == pytest.approx(
        expected["rotation_error_deg"]["mean"], rel=0.01
    )
