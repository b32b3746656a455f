"""Evaluation: metrics, report, calibration, and refused input."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from opendactyl.core.atomic_files import read_json
from opendactyl.core.errors import EnvironmentFailure, InputError
from opendactyl.datasets.generation.generate import DatasetConfig, generate
from opendactyl.datasets.loading.augmentation_config import PROBABILITIES, AugmentConfig
from opendactyl.datasets.loading.cache import open_dataset
from opendactyl.geometry.rotation import (
    quat_multiply,
    random_quat,
    rotvec_to_quat,
)
from opendactyl.vision.evaluation.config import EvalConfig
from opendactyl.vision.evaluation.evaluate import evaluate
from opendactyl.vision.evaluation.models import open_model
from opendactyl.vision.measures.metrics import CHI2_90_3, squared_distances
from opendactyl.vision.measures.predictions import Predictions, predict
from opendactyl.vision.training.calibration import calibrate
from opendactyl.vision.training.checkpoints import load_module

SHIPPED = Path(__file__).parents[3] / "pretrained" / "reorient"


def test_evaluation_writes_metrics_and_a_report(vision_run, val_dataset, tmp_path):
    out = tmp_path / "report"
    metrics = evaluate(EvalConfig(model=vision_run, data=val_dataset, out=out))
    assert read_json(out / "metrics.json") == metrics
    report = (out / "report.html").read_text()
    assert "Confused faces" in report
    assert "rotation z in its 90 % interval" in report
    assert report.count("<img") == 5
    assert "This data chose the checkpoint" in report
    assert "One pose from 3 views" in report
    assert read_json(out / "config.json")["states"] == "settled"
    assert "http://" not in report


def test_effects_are_added_to_the_images_on_demand(vision_run, val_dataset, tmp_path):
    plain, again, noisy = (tmp_path / name for name in ("plain", "again", "noisy"))
    config = EvalConfig(model=vision_run, data=val_dataset, out=plain)
    before = evaluate(config)
    assert "augment" not in read_json(plain / "config.json")
    effects = AugmentConfig(**dict.fromkeys(PROBABILITIES, 0.0) | {"noisy": 1.0})
    after = [evaluate(replace(config, out=out, augment=effects)) for out in (noisy, again)]
    assert after[0] == after[1] != before
    assert read_json(noisy / "config.json")["augment"]["noisy"] == 1.0
    assert "Effects were added to the images: noisy 100%." in (noisy / "report.html").read_text()


def test_small_images_are_enlarged_for_a_bundle(val_dataset, tmp_path, capsys):
    metrics = evaluate(EvalConfig(model=SHIPPED, data=val_dataset, out=tmp_path / "small"))
    assert "from 64 to 288 pixels" in capsys.readouterr().err
    assert metrics["position_error_mm"]["mean"] < 15  # of a block that is 13 pixels wide


def test_a_background_cannot_be_replaced_without_masks(vision_run, val_dataset, tmp_path):
    effects = replace(AugmentConfig.none(), background=0.5)
    with pytest.raises(InputError, match=r"--augment\.background needs masks"):
        evaluate(
            EvalConfig(model=vision_run, data=val_dataset, out=tmp_path / "a", augment=effects)
        )
    assert not (tmp_path / "a").exists()


def test_a_negative_number_of_samples_is_refused(vision_run, val_dataset, tmp_path):
    with pytest.raises(InputError, match="--max-samples is -5"):
        evaluate(EvalConfig(model=vision_run, data=val_dataset, out=tmp_path / "a", max_samples=-5))


def test_settings_of_a_training_are_not_overwritten(vision_run, val_dataset):
    settings = read_json(vision_run / "config.json")
    with pytest.raises(InputError, match="settings of another command"):
        evaluate(EvalConfig(model=vision_run, data=val_dataset, out=vision_run, resume=True))
    assert read_json(vision_run / "config.json") == settings


def test_a_dataset_of_another_object_is_refused(vision_run, bundle, tmp_path):
    prism = DatasetConfig(
        out=tmp_path / "prism", num_samples=2, seed=5, image_size=64, workers=1, object="prism"
    )
    data = generate(prism)
    for model in (vision_run, bundle):
        with pytest.raises(InputError, match="trained on another object"):
            evaluate(EvalConfig(model=model, data=data, out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_evaluation_on_training_data_is_refused(vision_run, dataset, tmp_path):
    with pytest.raises(InputError, match="trained on seed 0"):
        evaluate(EvalConfig(model=vision_run, data=dataset, out=tmp_path / "report"))


def test_the_covariance_is_calibrated_on_validation_data(vision_run, val_dataset):
    module = load_module(vision_run)
    data = open_dataset(val_dataset, module.image_size)
    assert (module.log_std_shift != 0).all()
    for squares in squared_distances(predict(module, data, len(data))):
        assert np.mean(squares <= CHI2_90_3) == pytest.approx(0.9, abs=1 / len(data))


def test_a_calibrated_covariance_is_valid_on_other_data(monkeypatch):
    """Errors are three times the predicted ones in position, and half of them in rotation."""

    class Module:
        log_std_shift, two_stages = torch.zeros(2), False

    def predictions(seed, count=4000):
        rng = np.random.default_rng(seed)
        true = random_quat(rng, (count,))
        error = rotvec_to_quat(rng.normal(0, 0.5 * 0.02, (count, 3)))
        scale = np.exp(2 * Module.log_std_shift.numpy()).repeat(3)
        covariance = np.diag(np.array([1e-6] * 3 + [4e-4] * 3) * scale)
        return Predictions(
            rng.normal(0, 3e-3, (count, 3)), quat_multiply(error, true),
            np.broadcast_to(covariance, (count, 6, 6)), np.zeros((count, 3)), true,
            np.ones((count, 3)),
        )  # fmt: skip

    monkeypatch.setattr("opendactyl.vision.training.calibration.predict", lambda *_: predictions(0))
    calibrate(Module, range(4000), 4000)
    for squares in squared_distances(predictions(1)):
        assert np.mean(squares <= CHI2_90_3) == pytest.approx(0.9, abs=0.02)
    np.testing.assert_allclose(Module.log_std_shift.exp().numpy(), [3.0, 0.5], rtol=0.05)


@pytest.mark.parametrize("manifest", [[], {}, {"sha256": {}}, {"sha256": "right", "rig": 3}])
def test_a_bundle_with_an_invalid_manifest_is_refused(bundle, val_dataset, tmp_path, manifest):
    shutil.copy(bundle / "pose.onnx", tmp_path)
    if "rig" in manifest:
        manifest = manifest | {"sha256": read_json(bundle / "manifest.json")["sha256"]}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="manifest"):
        evaluate(EvalConfig(model=tmp_path, data=val_dataset, out=tmp_path / "out"))


def test_estimates_of_a_diverged_network_are_an_environment_failure(vision_run, val_dataset):
    module = load_module(vision_run)
    data = open_dataset(val_dataset, 64)
    for parameter in module.parameters():
        torch.nn.init.constant_(parameter, torch.nan)
    with pytest.raises(EnvironmentFailure, match="diverged"):
        predict(module, data, len(data))


def test_a_failed_evaluation_does_not_block_the_next(
    vision_run, val_dataset, tmp_path, monkeypatch
):
    def full(*_):
        raise EnvironmentFailure("no space left")

    monkeypatch.setattr("opendactyl.vision.evaluation.evaluate.predict", full)
    out = tmp_path / "out"
    with pytest.raises(EnvironmentFailure, match="no space"):
        evaluate(EvalConfig(model=vision_run, data=val_dataset, out=out))
    assert not out.exists()


def test_a_missing_model_is_refused_with_a_remedy(tmp_path):
    with pytest.raises(InputError, match="make train-vision"):
        open_model(tmp_path)
