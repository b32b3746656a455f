import dataclasses
import functools
import json
import math
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from scipy.spatial.transform import Rotation

from opendactyl.control.bundle import load_bundle
from opendactyl.control.package import ExportConfig, export_bundle
from opendactyl.control.rollouts import MinedStates
from opendactyl.datasets.cache import open_dataset
from opendactyl.datasets.generate import DatasetConfig, generate
from opendactyl.datasets.manifest import load_manifest
from opendactyl.files.atomic import read_json
from opendactyl.files.errors import InputError
from opendactyl.geometry.rotation import (
    geodesic_angle,
    quat_multiply,
    random_quat,
    rotvec_to_quat,
)
from opendactyl.geometry.rotation_torch import quat_to_matrix
from opendactyl.models.pose import PoseOutput, rotation_from_raw
from opendactyl.models.weights import save_weights
from opendactyl.vision.calibration import calibrate
from opendactyl.vision.callbacks import Averaging, Progress
from opendactyl.vision.checkpoints import load_module, start_from
from opendactyl.vision.config import VisionConfig
from opendactyl.vision.estimator import PoseEstimator
from opendactyl.vision.evaluate import EvalConfig, evaluate, open_model
from opendactyl.vision.losses import FocalBalance, pose_likelihood, pose_loss
from opendactyl.vision.metrics import CHI2_90_3, squared_distances
from opendactyl.vision.module import PoseModule
from opendactyl.vision.predictions import Predictions, predict
from opendactyl.vision.seeds import known_seeds, seeds_of_training
from opendactyl.vision.train import build_module, make_data, train


def test_loss_is_least_at_the_truth():
    quaternion = torch.tensor(random_quat(np.random.default_rng(0), (8,)), dtype=torch.float32)
    batch = {
        "position": torch.randn(8, 3) * 0.02,
        "quaternion": quaternion,
        "landmarks": torch.rand(8, 3, 14, 2),
        "anchors": torch.rand(8, 3, 10, 2),
        "visible_fraction": torch.ones(8, 3),
    }
    matrices = torch.tensor(Rotation.from_quat(quaternion, scalar_first=True).as_matrix()).float()

    def loss(shift=0.0, turn=0.0, sign=1.0, refined_shift=0.0, place_shift=0.0):
        deviations, raw = torch.full((8, 2), -4.0), matrices.flatten(1) + turn
        first = PoseOutput(batch["position"] + shift, rotation_from_raw(raw), deviations, raw)
        output = PoseOutput(
            batch["position"] + refined_shift, matrices, deviations, None,
            torch.cat([batch["landmarks"], batch["anchors"]], dim=2) + place_shift,
            torch.full((8, 3, 24), -4.0), first,
        )  # fmt: skip
        return pose_loss(output, batch | {"quaternion": sign * quaternion})["total"].item()

    assert loss() < loss(shift=0.01)
    assert loss() < loss(turn=0.1)
    assert loss() < loss(refined_shift=0.01)
    assert loss() < loss(place_shift=0.01)
    assert loss(sign=-1.0) == pytest.approx(loss())


def test_training_leaves_what_the_contract_says(vision_run):
    for name in ("config.json", "metrics.csv", "checkpoints/best.ckpt", "checkpoints/last.ckpt"):
        assert (vision_run / name).exists(), name
    assert list(vision_run.glob("events.out.tfevents.*"))
    header = (vision_run / "metrics.csv").read_text().splitlines()[0]
    assert "val/rotation_error_deg" in header


def test_resuming_goes_on_and_other_settings_are_refused(
    vision_run, dataset, val_dataset, tmp_path
):
    run = tmp_path / "run"
    shutil.copytree(vision_run, run)
    settings = {
        "data": (dataset,), "val_data": val_dataset, "out": run, "image_size": 64, "batch_size": 4,
        "max_minutes": 5, "workers": 0, "accelerator": "cpu",
    }  # fmt: skip
    before = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["global_step"]
    # The number of epochs limits a run like its minutes do, and may grow.
    train(VisionConfig(**settings, max_epochs=3, resume=True))
    after = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["global_step"]
    assert after == before * 3 // 2
    with pytest.raises(InputError, match="head: '9d' there, '6d' now"):
        train(VisionConfig(**settings, head="6d", resume=True))
    with pytest.raises(InputError, match="not empty"):
        train(VisionConfig(**settings))


def test_a_finished_run_goes_on_from_its_weights_not_from_their_average(vision_run):
    last = torch.load(vision_run / "checkpoints/last.ckpt", weights_only=True)
    name = "network.maps.weight" if "network.maps.weight" in last["state_dict"] else (
        "network.tower.maps.weight"
    )  # fmt: skip
    assert not torch.equal(last["state_dict"][name], last["current_model_state"][name])
    averaged = load_module(vision_run).state_dict()[name]
    assert torch.equal(last["state_dict"][name], averaged)


@pytest.mark.parametrize("content", ["nonsense", "another network's"])
def test_a_checkpoint_that_cannot_be_gone_on_from_is_named(
    vision_run, dataset, val_dataset, tmp_path, content
):
    run = tmp_path / "run"
    shutil.copytree(vision_run, run)
    last = run / "checkpoints" / "last.ckpt"
    if content == "nonsense":
        last.write_bytes(b"dear")
    else:
        checkpoint = torch.load(last, weights_only=True)
        checkpoint["hyper_parameters"]["image_size"] = 96
        torch.save(checkpoint, last)
    config = VisionConfig(
        data=(dataset,), val_data=val_dataset, out=run, image_size=64, batch_size=4, max_minutes=5,
        max_epochs=3, workers=0, accelerator="cpu", resume=True,
    )  # fmt: skip
    with pytest.raises(InputError, match=r"last\.ckpt is"):
        train(config)


def test_training_too_early_says_what_comes_first(tmp_path):
    with pytest.raises(InputError, match="make dataset"):
        train(VisionConfig(data=(tmp_path / "absent",), out=tmp_path / "run"))


def test_strangers_checkpoints_are_loaded_with_weights_only(tmp_path):
    class Poison:
        def __reduce__(self):
            return (exec, ("raise SystemExit('poisoned')",))

    (tmp_path / "checkpoints").mkdir()
    torch.save({"state_dict": Poison()}, tmp_path / "checkpoints" / "best.ckpt")
    with pytest.raises(InputError, match="no estimator checkpoint"):
        load_module(tmp_path)


def test_evaluation_writes_metrics_and_a_report(vision_run, val_dataset, tmp_path):
    out = tmp_path / "report"
    metrics = evaluate(EvalConfig(model=vision_run, data=val_dataset, out=out))
    assert read_json(out / "metrics.json") == metrics
    page = (out / "report.html").read_text()
    assert "Wrong face or slightly off" in page
    assert page.count("<img") == 5
    assert "The estimator was chosen by this data" in page
    assert "3 views to one pose" in page
    assert read_json(out / "config.json")["states"] == "settled"
    assert "http://" not in page


def test_a_number_of_samples_below_zero_is_refused(vision_run, val_dataset, tmp_path):
    with pytest.raises(InputError, match="--max-samples is -5"):
        evaluate(EvalConfig(model=vision_run, data=val_dataset, out=tmp_path / "a", max_samples=-5))


def test_evaluation_on_training_data_is_refused(vision_run, dataset, tmp_path):
    with pytest.raises(InputError, match="trained on seed 0"):
        evaluate(EvalConfig(model=vision_run, data=dataset, out=tmp_path / "report"))


def test_what_the_weights_saw_before_counts_as_seen(vision_run, dataset, val_dataset, tmp_path):
    save_weights(
        load_module(vision_run).network.state_dict(), tmp_path / "pose.safetensors",
        {"seeds": known_seeds(vision_run)},
    )  # fmt: skip
    for start in (vision_run, tmp_path / "pose.safetensors"):
        later = VisionConfig(data=(val_dataset,), val_data=val_dataset, warm_start=start)
        assert seeds_of_training(later) == {"train": [0, 1], "val": [1]}
    # Written down: datasets may move.
    assert read_json(vision_run / "seeds.json") == {"train": [0], "val": [1]}


def test_uncertainties_are_scaled_on_validation_data(vision_run, val_dataset):
    module = load_module(vision_run)
    data = open_dataset(val_dataset, module.image_size)
    assert (module.log_std_shift != 0).all()
    for squares in squared_distances(predict(module, data, len(data))):
        assert np.mean(squares <= CHI2_90_3) == pytest.approx(0.9, abs=1 / len(data))


def test_scaled_uncertainties_hold_on_data_they_were_not_scaled_on(monkeypatch):
    """Errors three times as large as believed in position, half as large in rotation."""

    class Believer:
        log_std_shift = torch.zeros(2)

    def predictions(seed, count=4000):
        rng = np.random.default_rng(seed)
        true = random_quat(rng, (count,))
        turn = rotvec_to_quat(rng.normal(0, 0.5 * 0.02, (count, 3)))
        scale = np.exp(2 * Believer.log_std_shift.numpy()).repeat(3)
        covariance = np.diag(np.array([1e-6] * 3 + [4e-4] * 3) * scale)
        return Predictions(
            rng.normal(0, 3e-3, (count, 3)), quat_multiply(turn, true),
            np.broadcast_to(covariance, (count, 6, 6)), np.zeros((count, 3)), true,
            np.ones((count, 3)),
        )  # fmt: skip

    monkeypatch.setattr("opendactyl.vision.calibration.predict", lambda *_: predictions(0))
    calibrate(Believer, range(4000), 4000)
    for squares in squared_distances(predictions(1)):
        assert np.mean(squares <= CHI2_90_3) == pytest.approx(0.9, abs=0.02)
    np.testing.assert_allclose(Believer.log_std_shift.exp().numpy(), [3.0, 0.5], rtol=0.05)


def test_onnx_equals_torch(vision_run, bundle, val_dataset):
    data = open_dataset(val_dataset, 64)
    torch_run, exported = open_model(vision_run), open_model(bundle)
    a, b = (predict(model, data, len(data)) for model in (torch_run, exported))
    np.testing.assert_allclose(a.position, b.position, atol=1e-5)
    turned = Rotation.from_quat(a.quaternion, scalar_first=True).inv() * Rotation.from_quat(
        b.quaternion, scalar_first=True
    )
    assert np.max(turned.magnitude()) < 1e-3
    np.testing.assert_allclose(a.covariance, b.covariance, rtol=1e-3)
    assert np.all(b.quaternion[:, 0] >= 0)
    manifest = read_json(bundle / "manifest.json")
    agreement = manifest["pose"]["agreement"]
    assert agreement["n"] == len(data)
    assert agreement["rotation_rad"] < 1e-3
    assert agreement["position_m"] == pytest.approx(
        np.linalg.norm(a.position - b.position, axis=-1).max()
    )
    assert "differed" in (bundle / "README.md").read_text()


def test_eight_bits_are_smaller_and_nearly_as_exact(
    vision_run, policy_run, bundle, val_dataset, tmp_path
):
    out = export_bundle(
        ExportConfig(
            vision=vision_run, policy=policy_run, out=tmp_path / "small", quantize=val_dataset
        )
    )
    assert load_bundle(out).manifest["pose"]["quantized"]
    assert not load_bundle(bundle).manifest["pose"]["quantized"]
    sizes = [(folder / "pose.onnx").stat().st_size for folder in (out, bundle)]
    assert sizes[0] < 0.6 * sizes[1]
    data = open_dataset(val_dataset, 64)
    small, exact = (predict(open_model(folder), data, len(data)) for folder in (out, bundle))
    np.testing.assert_allclose(small.position, exact.position, atol=0.01)
    assert np.rad2deg(geodesic_angle(small.quaternion, exact.quaternion)).mean() < 10
    assert not np.array_equal(small.position, exact.position)


def test_estimator_is_thread_safe(bundle, val_dataset):
    estimator = PoseEstimator(bundle / "pose.onnx")
    images = list(np.array(open_dataset(val_dataset, 64).images))
    alone = [estimator.estimate(i).position for i in images]
    with ThreadPoolExecutor(4) as pool:
        together = [pose.position for pose in pool.map(estimator.estimate, images)]
    np.testing.assert_allclose(together, alone, atol=1e-6)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((3, 32, 32, 3), np.uint8),
        np.zeros((2, 64, 64, 3), np.uint8),
        np.zeros((3, 3, 64, 64), np.uint8),
        np.zeros((3, 64, 64, 3), np.float32),
    ],
)
def test_wrong_images_are_refused(bundle, images):
    with pytest.raises(InputError, match=r"uint8 \(3, 64, 64, 3\)"):
        PoseEstimator(bundle / "pose.onnx").estimate(images)


def test_estimator_needs_numpy_and_onnxruntime_only(bundle):
    code = f"""
import sys
for name in ("torch", "lightning", "mujoco", "scipy", "matplotlib", "gymnasium", "tyro", "cv2"):
    sys.modules[name] = None
import numpy as np
from opendactyl.control.bundle import load_bundle
bundle = load_bundle({str(bundle)!r})
pose = bundle.estimator.estimate(np.zeros(bundle.estimator.shape, np.uint8))
memory = bundle.policy.initial_memory()
bins, memory, sane = bundle.policy.act(np.zeros((1, 50), np.float32), memory)
print(pose.quaternion.shape, bins.shape)
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.stdout.strip() == "(4,) (1, 20)", result.stderr


def test_images_of_different_sizes_are_refused(bundle):
    images = [np.zeros((size, size, 3), np.uint8) for size in (64, 64, 32)]
    with pytest.raises(InputError, match="different sizes"):
        PoseEstimator(bundle / "pose.onnx").estimate(images)


def test_a_network_of_another_kind_is_no_estimator(bundle):
    with pytest.raises(InputError, match="no pose estimator"):
        PoseEstimator(bundle / "policy.onnx")


@pytest.mark.parametrize("manifest", [[], {}, {"sha256": {}}, {"sha256": "right", "rig": 3}])
def test_a_bundle_with_a_strangers_manifest_is_refused(bundle, val_dataset, tmp_path, manifest):
    shutil.copy(bundle / "pose.onnx", tmp_path)
    if "rig" in manifest:
        manifest = manifest | {"sha256": read_json(bundle / "manifest.json")["sha256"]}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="manifest"):
        evaluate(EvalConfig(model=tmp_path, data=val_dataset, out=tmp_path / "out"))


def test_a_diverged_network_is_told_from_a_bad_one(vision_run, val_dataset):
    module = load_module(vision_run)
    data = open_dataset(val_dataset, 64)
    with torch.no_grad():
        module.log_std_shift.fill_(torch.nan)
    with pytest.raises(InputError, match="diverged"):
        predict(module, data, len(data))


def test_no_model_says_what_to_do(tmp_path):
    with pytest.raises(InputError, match="make train-vision"):
        open_model(tmp_path)


def test_focal_balance_favours_what_is_far_from_good():
    balance = FocalBalance()
    losses = {"position": torch.tensor(1.0), "refined_rotation": torch.tensor(1.0)}
    for _ in range(500):
        weights = balance.weights(torch.full((8,), 20.0), torch.full((8,), 1.0))
    assert weights[1] > 10 * weights[0]
    assert weights.sum().item() == pytest.approx(2.0)
    balanced = balance(losses, torch.full((8,), 20.0), torch.full((8,), 1.0))
    assert balanced["refined_rotation"] > 10 * balanced["position"]
    assert balanced["total"].item() == pytest.approx(2.0, rel=0.01)


def test_a_short_run_averages_what_it_learned_not_where_it_began():
    average = Averaging(0.999, Path("last.ckpt"))._kwargs["avg_fn"]
    value = torch.zeros(1)
    for count in range(1, 60):
        value = average(value, torch.ones(1), count)
    assert value.item() > 0.99


def test_warm_starts_take_over_weights_and_refuse_strangers(
    vision_run, dataset, val_dataset, tmp_path
):
    module = load_module(vision_run)
    save_weights(module.network.state_dict(), tmp_path / "pose.safetensors", {})
    settings = {
        "data": (dataset,), "val_data": val_dataset, "image_size": 64, "batch_size": 4,
        "max_epochs": 1, "learning_rate": 1e-9, "workers": 0, "accelerator": "cpu",
    }  # fmt: skip
    run = train(
        VisionConfig(**settings, out=tmp_path / "a", warm_start=tmp_path / "pose.safetensors")
    )
    for name, weight in load_module(run).network.named_parameters():
        torch.testing.assert_close(
            weight, module.network.get_parameter(name), atol=1e-3, rtol=1e-2, msg=name
        )
    for model in ("dactyl", "keypoint"):
        with pytest.raises(InputError, match="another network"):
            train(VisionConfig(**settings, out=tmp_path / "b", model=model, warm_start=vision_run))
    (tmp_path / "love.safetensors").write_bytes(b"dear")
    with pytest.raises(InputError, match="holds no weights"):
        train(
            VisionConfig(**settings, out=tmp_path / "b", warm_start=tmp_path / "love.safetensors")
        )
    assert not (tmp_path / "b").exists()  # So that the corrected command finds its way free.


def test_an_interrupted_run_keeps_what_it_learned(dataset, val_dataset, tmp_path, monkeypatch):
    def interrupt(self, trainer, module, batch, number):
        if number == 2:
            raise KeyboardInterrupt

    config = VisionConfig(
        data=(dataset,), val_data=val_dataset, out=tmp_path / "run", image_size=64, batch_size=4,
        max_epochs=2, max_minutes=5, workers=0, accelerator="cpu",
    )  # fmt: skip
    handler = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        patch.setattr(Progress, "on_train_batch_start", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(config)
    signal.signal(signal.SIGINT, handler)
    last = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["global_step"] == 2
    run = train(dataclasses.replace(config, resume=True))
    assert (run / "checkpoints" / "best.ckpt").exists()


def test_an_interrupted_validation_does_not_confuse_weights_and_average(
    dataset, val_dataset, tmp_path, monkeypatch
):
    judged, validate = {}, PoseModule.validation_step

    def interrupt(self, batch, number):
        if self.global_step < 3:  # The average of one is that one.
            return validate(self, batch, number)
        judged.update({name: value.clone() for name, value in self.state_dict().items()})
        raise KeyboardInterrupt

    config = VisionConfig(
        data=(dataset,), val_data=val_dataset, out=tmp_path / "run", image_size=64, batch_size=4,
        max_epochs=2, max_minutes=0.02, workers=0, accelerator="cpu",
    )  # fmt: skip
    handler = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        patch.setattr(PoseModule, "validation_step", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(config)
    signal.signal(signal.SIGINT, handler)
    last = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    for name, value in last["state_dict"].items():
        torch.testing.assert_close(value, judged[name], msg=name)
    changed = [n for n, v in last["current_model_state"].items() if not torch.equal(v, judged[n])]
    assert changed


def test_the_too_sure_learn_to_be_less_so():
    log_std = torch.full((1, 2), -4.0, requires_grad=True)
    output = PoseOutput(torch.zeros(1, 3), torch.eye(3)[None], log_std)
    batch = {
        "position": torch.tensor([[0.05, 0.0, 0.0]]),
        "quaternion": torch.tensor([[0.0, 1, 0, 0]]),
    }
    loss = pose_likelihood(output, batch, quat_to_matrix(batch["quaternion"]))
    loss.backward()
    assert (log_std.grad < -1).all()
    assert loss < 1000


def test_mined_samples_join_the_training(vision_run, bundle, dataset, val_dataset, tmp_path):
    config = VisionConfig(
        data=(dataset,), val_data=val_dataset, out=tmp_path / "run", image_size=64, batch_size=4,
        max_epochs=1, max_minutes=5, workers=0, accelerator="cpu", mine=bundle, mine_samples=5,
        warm_start=vision_run,
    )  # fmt: skip
    run = train(config, functools.partial(MinedStates, bundle))
    mined = load_manifest(tmp_path / "run-mined")
    assert (mined.num_samples, mined.config["states"]) == (5, f"mined:{bundle}")
    assert mined.rig == load_manifest(dataset).rig
    assert read_json(run / "config.json")["data"] == [str(dataset), str(tmp_path / "run-mined")]


@pytest.mark.parametrize(
    "wrong",
    [
        {"model": "x"}, {"schedule": "x"}, {"backbone": "a.pt"}, {"accelerator": "abacus"},
        {"head": "6d", "model": "keypoint"}, {"workers": -1}, {"seed": -1}, {"views": -1},
        {"learning_rate": -1.0}, {"learning_rate": math.nan}, {"average": 3.0},
        {"weight_decay": math.inf}, {"devices": -1},
    ],
)  # fmt: skip
def test_settings_that_cannot_be_trained_are_named(wrong):
    with pytest.raises(InputError, match=next(iter(wrong)).replace("_", "-")):
        VisionConfig(**wrong).check()


@pytest.mark.skipif(torch.accelerator.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_said_to_be_missing(dataset, val_dataset, tmp_path):
    with pytest.raises(InputError, match="--accelerator is gpu"):
        train(
            VisionConfig(
                data=(dataset,), val_data=val_dataset, out=tmp_path / "run", image_size=64,
                accelerator="gpu",
            )
        )  # fmt: skip
    assert not (tmp_path / "run").exists()


def test_a_backbone_from_a_file_is_taken_over(dataset, val_dataset, tmp_path):
    weights = torchvision.models.resnet18(weights=None).state_dict()
    torch.save(weights, tmp_path / "resnet18.pth")
    config = VisionConfig(
        data=(dataset,), val_data=val_dataset, out=tmp_path / "run", image_size=64, batch_size=4,
        workers=0, accelerator="cpu", model="resnet18", backbone=tmp_path / "resnet18.pth",
    )  # fmt: skip
    module = build_module(config, make_data(config))
    start_from(config, module)
    tower = module.network.tower.state_dict()
    assert torch.equal(tower["layer4.1.conv2.weight"], weights["layer4.1.conv2.weight"])
    torch.save(torchvision.models.resnet50(weights=None).state_dict(), tmp_path / "resnet18.pth")
    with pytest.raises(InputError, match="another network"):
        start_from(config, module)


@pytest.mark.parametrize("samples", [0, 1])
def test_too_few_samples_are_refused(vision_run, val_dataset, tmp_path, samples):
    data = generate(
        DatasetConfig(out=tmp_path / "data", num_samples=1, seed=5, image_size=64, workers=1)
    )
    if not samples:
        manifest = read_json(data / "manifest.json") | {"num_samples": 0, "shards": []}
        (data / "manifest.json").write_text(json.dumps(manifest))
    config = VisionConfig(
        data=(data,), val_data=val_dataset, out=tmp_path / "run", image_size=64, workers=0,
        accelerator="cpu",
    )  # fmt: skip
    with pytest.raises(
        InputError, match="fewer than two samples" if samples else "holds no samples"
    ):
        train(config)
    assert not (tmp_path / "run").exists()
    if samples:  # One is enough to measure on.
        report = EvalConfig(model=vision_run, data=data, out=tmp_path / "report")
        assert evaluate(report)["n"] == 1
