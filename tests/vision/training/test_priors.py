"""Position scale, centre and landmarks from the data, in the checkpoint and the exported bundle."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from opendactyl.core.atomic_files import read_json
from opendactyl.datasets.format.manifest import load_manifest, write_manifest
from opendactyl.datasets.format.statistics import LabelStatistics
from opendactyl.datasets.loading.cache import open_dataset
from opendactyl.geometry.rig import Rig
from opendactyl.geometry.static_landmarks import STATIC_LANDMARKS
from opendactyl.models.pose.heads import PoseHead
from opendactyl.models.pose.outputs import PoseOutput
from opendactyl.models.pose.priors import FORMER, PosePriors, prior_of
from opendactyl.models.pose.registry import build_pose_network
from opendactyl.models.weights import load_weights, save_weights
from opendactyl.sim.objects.shipped import object_spec
from opendactyl.vision.estimator import PoseEstimator
from opendactyl.vision.training.checkpoints import best_checkpoint, load_module
from opendactyl.vision.training.data_sizes import priors_of
from opendactyl.vision.training.losses import pose_loss
from opendactyl.vision.training.train import build_module, make_data, train
from opendactyl.vision.training.warm_start import start_from

SHIPPED = Path(__file__).parents[3] / "pretrained"
WEIGHTS = SHIPPED / "weights" / "pose.safetensors"
TWO_STAGES = WEIGHTS.with_name("pose-two-stages.safetensors")
"""The weights of the estimator in the bundles."""
FAR = PosePriors(centre=(0.5, -0.2, 1.0), scale=(0.1, 0.2, 0.3), reach=0.7, unit=0.05)


def without_priors(weights):
    return {name: value for name, value in weights.items() if ".prior." not in f".{name}"}


def network(name, priors):
    torch.manual_seed(0)
    points = object_spec("block").keypoints.tolist()
    anchors = STATIC_LANDMARKS.tolist()
    return build_pose_network(name, views=3, points=points, anchors=anchors, priors=priors).eval()


def test_priors_by_hand():
    found = PosePriors.of([0.1, 0, 0], [0.01, 0.02, 0.0], [(0.5, 0.6), (1.0, 1.3)], [[0, 0, 0.05]])
    assert found.centre == (0.1, 0, 0)
    # The third axis has the least standard deviation of 1 mm.
    np.testing.assert_allclose(found.scale, [0.02, 0.04, 0.002])
    assert found.reach == pytest.approx(0.15 + 0.05)
    assert found.unit == pytest.approx(2 / 3 * np.sqrt((1e-4 + 4e-4 + 1e-6) / 3))
    assert PosePriors.from_dict(found.to_dict()) == found
    assert PosePriors.from_dict(None) == FORMER


def test_a_head_predicts_offsets_from_the_centre_in_units_of_the_scale():
    head = PoseHead(8, "9d", FAR)
    features = torch.randn(5, 8)
    raw = head.position(head.hidden(features))
    expected = raw * torch.tensor(FAR.scale) + torch.tensor(FAR.centre)
    torch.testing.assert_close(head(features).position, expected)
    former = PoseHead(8, "9d", FORMER)
    former.load_state_dict(without_priors(head.state_dict()))
    # The expression of earlier versions.
    expected = raw * 0.03 + torch.tensor((-0.01, 0.0, 0.01))
    assert torch.equal(former(features).position, expected)


@pytest.mark.parametrize("name", ["landmark", "keypoint"])
def test_weights_without_priors_give_the_outputs_of_earlier_versions(name):
    first, second = network(name, FORMER), network(name, FAR)
    weights = load_weights(WEIGHTS) if name == "landmark" else without_priors(first.state_dict())
    assert not [key for key in weights if "prior" in key]
    for built in (first, second):
        built.load_state_dict(weights)
    rig = Rig.from_dict(_manifest_of_shipped()["rig"])
    cameras = [torch.tensor(m, dtype=torch.float32) for m in (rig.intrinsics, rig.extrinsics)]
    torch.manual_seed(1)
    images = torch.randint(0, 256, (2, 3, 128, 128, 3), dtype=torch.uint8)
    with torch.no_grad():
        a, b = first(images, *cameras), second(images, *cameras)
    assert torch.equal(a.position, b.position) and torch.equal(a.rotation, b.rotation)


def _manifest_of_shipped():
    return read_json(SHIPPED / "reorient" / "manifest.json")


def test_the_shipped_weights_agree_with_the_shipped_network(dataset):
    views = np.array(open_dataset(dataset, 64).images[:4])
    images = np.stack(
        [[np.asarray(Image.fromarray(v).resize((288, 288))) for v in sample] for sample in views]
    )
    manifest = _manifest_of_shipped()
    rig, pose = Rig.from_dict(manifest["rig"]), manifest["pose"]
    cameras = [torch.tensor(m, dtype=torch.float32) for m in (rig.intrinsics, rig.extrinsics)]
    built = build_pose_network(
        "landmark", pose["crop_size"], views=3, points=pose["keypoints"],
        anchors=pose["static_landmarks"], priors=PosePriors.from_dict(pose["priors"]),
    ).eval()  # fmt: skip
    built.load_state_dict(load_weights(TWO_STAGES))
    with torch.no_grad():
        found = built(torch.from_numpy(images), *cameras).position
    expected, _, _ = PoseEstimator(SHIPPED / "reorient" / "pose.onnx").estimate_batch(images)
    # The weights are stored in half precision.
    np.testing.assert_allclose(found.numpy(), expected, atol=5e-4)


def test_the_loss_is_in_units_of_the_data():
    def output(position):
        return PoseOutput(
            position=position, rotation=torch.eye(3)[None], log_std=torch.zeros(1, 2),
            raw=torch.zeros(1, 6),
        )  # fmt: skip

    def loss(metres, *unit):
        batch = {"position": torch.zeros(1, 3), "quaternion": torch.tensor([[1.0, 0, 0, 0]])}
        return pose_loss(output(torch.full((1, 3), metres)), batch, *unit)["position"]

    torch.testing.assert_close(loss(0.4, 0.2), loss(0.02))
    torch.testing.assert_close(loss(0.005), torch.tensor(0.125))  # half a centimetre, Huber


def test_a_run_takes_the_priors_of_its_data(vision_run, dataset):
    manifest = load_manifest(dataset)
    expected = priors_of([manifest])
    np.testing.assert_allclose(expected.centre, manifest.statistics.position_mean)
    module = load_module(vision_run)
    assert module.hparams["priors"] == expected.to_dict()
    assert module.position_unit == expected.unit
    torch.testing.assert_close(prior_of(module.network).centre, torch.tensor(expected.centre))
    torch.testing.assert_close(prior_of(module.network).scale, torch.tensor(expected.scale))


def test_datasets_that_are_joined_pool_their_statistics(dataset, tiny, tmp_path):
    manifest = load_manifest(dataset)
    assert manifest.statistics is not None
    x, y, z = manifest.statistics.position_mean
    moved = dataclasses.replace(manifest.statistics, position_mean=(x + 0.2, y, z), samples=36)
    other = dataclasses.replace(manifest, statistics=moved)
    found = priors_of([manifest, other])
    assert found.centre[0] == pytest.approx(x + 0.15)
    pooled = LabelStatistics.pooled([manifest.statistics, moved])
    np.testing.assert_allclose(found.scale, 2 * np.array(pooled.position_std))
    # Data of an earlier version among them: the constants of that version.
    assert priors_of([manifest, dataclasses.replace(manifest, statistics=None)]) == FORMER
    folder = shutil.copytree(dataset, tmp_path / "old")
    write_manifest(folder, dataclasses.replace(manifest, statistics=None))
    config = tiny(tmp_path / "run", data=(dataset, folder))
    assert build_module(config, make_data(config)).hparams["priors"] == FORMER.to_dict()


def test_a_checkpoint_without_priors_loads_with_the_constants(vision_run, tmp_path):
    run = shutil.copytree(vision_run, tmp_path / "run")
    checkpoint = torch.load(best_checkpoint(run), weights_only=True)
    del checkpoint["hyper_parameters"]["priors"]
    checkpoint["state_dict"] = without_priors(checkpoint["state_dict"])
    torch.save(checkpoint, best_checkpoint(run))
    module = load_module(run)
    assert module.hparams["priors"] == FORMER.to_dict()
    torch.testing.assert_close(prior_of(module.network).centre, torch.tensor([-0.01, 0, 0.01]))


@pytest.mark.parametrize("former", [True, False])
def test_a_warm_start_keeps_the_scale_of_its_weights(vision_run, tiny, tmp_path, former):
    weights = load_module(vision_run).network.state_dict()
    weights["head.prior.scale"] = torch.tensor([0.5, 0.6, 0.7])
    weights["points"] = weights["points"] + 1  # of another object
    path = tmp_path / "pose.safetensors"
    save_weights(without_priors(weights) if former else weights, path, {"seeds": {"train": [7]}})
    config = tiny(tmp_path / "run", warm_start=path)
    module = build_module(config, make_data(config))
    points = module.network.get_buffer("points").clone()
    unit = module.position_unit
    start_from(config, module)
    expected = FORMER.scale if former else (0.5, 0.6, 0.7)
    np.testing.assert_allclose(module.hparams["priors"]["scale"], expected, rtol=1e-6)
    assert torch.equal(module.network.get_buffer("points"), points)
    assert module.position_unit == unit
    # Resuming keeps them too, though the data has others.
    run = train(config)
    train(dataclasses.replace(config, max_epochs=2, resume=True))
    stored = load_module(run, "last").hparams["priors"]["scale"]
    np.testing.assert_allclose(stored, expected, rtol=1e-6)


def test_an_exported_network_states_its_priors_and_landmarks(vision_run, bundle):
    module = load_module(vision_run)
    entry = read_json(bundle / "manifest.json")["pose"]
    assert entry["priors"] == module.hparams["priors"]
    assert entry["static_landmarks"] == STATIC_LANDMARKS.tolist()
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 64, 64, 3), dtype=np.uint8)
    found, _, _ = PoseEstimator(bundle / "pose.onnx").estimate_batch(images)
    np.testing.assert_allclose(found, module.estimate_batch(images)[0], atol=1e-4)
