"""The start of a training: weights, data and settings."""

import dataclasses
import json
import math
import shutil

import pytest
import torch
import torchvision

from opendactyl.control.evaluation import policy_states
from opendactyl.control.evaluation.policy_states import rollout_source
from opendactyl.core.atomic_files import read_json
from opendactyl.core.errors import InputError
from opendactyl.datasets.format.manifest import load_manifest
from opendactyl.datasets.generation.generate import DatasetConfig, generate
from opendactyl.models.weights import about_weights, load_weights, save_weights
from opendactyl.vision.evaluation.config import EvalConfig
from opendactyl.vision.evaluation.evaluate import evaluate
from opendactyl.vision.training import provenance
from opendactyl.vision.training.checkpoints import last_checkpoint, load_module
from opendactyl.vision.training.config import SHIPPED_WEIGHTS, VisionConfig
from opendactyl.vision.training.provenance import (
    check_validation_seed,
    known_seeds,
    seeds_of_training,
)
from opendactyl.vision.training.train import build_module, make_data, train
from opendactyl.vision.training.warm_start import start_from

RIG = "dactyl-200"
"""That of the tests' datasets."""


def test_a_warm_start_loads_weights_of_the_same_network_only(vision_run, tiny, tmp_path):
    module = load_module(vision_run)
    save_weights(module.network.state_dict(), tmp_path / "pose.safetensors", {})
    start = tmp_path / "pose.safetensors"
    run = train(tiny(tmp_path / "a", learning_rate=1e-9, warm_start=start))
    for name, weight in load_module(run).network.named_parameters():
        torch.testing.assert_close(
            weight, module.network.get_parameter(name), atol=1e-3, rtol=1e-2, msg=name
        )
    for model in ("dactyl", "keypoint"):
        with pytest.raises(InputError, match="another network"):
            train(tiny(tmp_path / "b", model=model, warm_start=vision_run))
    (tmp_path / "broken.safetensors").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="holds no weights"):
        train(tiny(tmp_path / "b", warm_start=tmp_path / "broken.safetensors"))
    assert not (tmp_path / "b").exists()  # The corrected command can use the folder.


def test_seeds_of_the_warm_start_are_recorded(vision_run, dataset, val_dataset, tmp_path):
    save_weights(
        load_module(vision_run).network.state_dict(), tmp_path / "pose.safetensors",
        {"seeds": known_seeds(vision_run)},
    )  # fmt: skip
    for start in (vision_run, tmp_path / "pose.safetensors"):
        later = VisionConfig(data=(val_dataset,), val_data=val_dataset, warm_start=start)
        assert seeds_of_training(later) == {"train": [0, 1], "val": [1]}
    # Recorded in the run, since datasets may move.
    assert read_json(vision_run / "seeds.json") == {"train": [0], "val": [1]}


def test_validation_data_that_the_warm_start_was_trained_on_is_refused(
    vision_run, dataset, val_dataset, tiny, tmp_path, capfd
):
    weights = load_module(vision_run).network.state_dict()
    save_weights(weights, tmp_path / "pose.safetensors", {"seeds": known_seeds(vision_run)})
    for start in (vision_run, tmp_path / "pose.safetensors"):
        config = tiny(tmp_path / "a", data=(val_dataset,), val_data=dataset, warm_start=start)
        with pytest.raises(InputError, match="was trained on seed 0"):
            train(config)
    assert not (tmp_path / "a").exists()
    torch.save(weights, tmp_path / "pose.pt")
    check_validation_seed(dataclasses.replace(config, warm_start=tmp_path / "pose.pt"))
    assert "is unknown" in capfd.readouterr().err


def test_a_run_is_not_resumed_on_regenerated_data(dataset, tiny, tmp_path):
    data = shutil.copytree(dataset, tmp_path / "data")
    config = tiny(tmp_path / "run", data=(data,))
    train(config)
    shutil.rmtree(data)
    generate(DatasetConfig(out=data, num_samples=4, seed=77, image_size=64, workers=1, rig=RIG))
    with pytest.raises(InputError, match="data_hashes"):
        train(dataclasses.replace(config, max_epochs=2, resume=True))


def test_hard_examples_are_added_to_the_training_data(
    vision_run, bundle, dataset, tiny, tmp_path, monkeypatch
):
    monkeypatch.setattr(policy_states, "ROLLOUTS", 4)
    monkeypatch.setattr(policy_states, "KEPT", 2)
    bundle, start = (shutil.copytree(f, tmp_path / f.name) for f in (bundle, vision_run))
    config = tiny(tmp_path / "run", mine=bundle, mine_samples=5, warm_start=start)
    run = train(config, rollout_source)
    mined = load_manifest(tmp_path / "run-mined")
    assert (mined.num_samples, mined.config["states"]) == (5, f"mined:{bundle}")
    assert mined.rig == load_manifest(dataset).rig
    assert read_json(run / "config.json")["data"] == [str(dataset), str(tmp_path / "run-mined")]
    # Resuming needs neither the bundle nor the warm start.
    shutil.rmtree(bundle)
    shutil.rmtree(start)
    steps = torch.load(last_checkpoint(run), weights_only=True)["global_step"]
    seeds = read_json(run / "seeds.json")
    train(dataclasses.replace(config, max_epochs=2, resume=True), rollout_source)
    assert torch.load(last_checkpoint(run), weights_only=True)["global_step"] == 2 * steps
    assert read_json(run / "seeds.json") == seeds


def test_only_the_first_process_renders_mined_states(tiny, bundle, tmp_path, monkeypatch):
    monkeypatch.setattr("opendactyl.vision.training.train.is_rank_zero", lambda: False)
    with pytest.raises(InputError, match="begin the run without a launcher"):
        train(tiny(tmp_path / "run", mine=bundle), rollout_source)


def test_a_run_starts_from_the_shipped_tower(tiny, tmp_path, capsys, monkeypatch):
    shipped = about_weights(SHIPPED_WEIGHTS)["seeds"]
    config = tiny(tmp_path / "run", from_scratch=False, max_steps=1)
    data = make_data(config)
    start_from(config, module := build_module(config, data))
    assert "from the image tower of the shipped estimator" in capsys.readouterr().err
    weights = load_weights(SHIPPED_WEIGHTS)
    name = "tower.sixteenth.1.body.0.weight"
    torch.testing.assert_close(module.network.state_dict()[name], weights["first." + name])
    maps, fresh = module.network.state_dict()["tower.maps.weight"], build_module(config, data)
    assert not torch.equal(maps, weights["first.tower.maps.weight"])
    assert seeds_of_training(config)["train"] == sorted({0, *shipped["train"]})
    start_from(scratch := dataclasses.replace(config, from_scratch=True), fresh)
    assert not torch.equal(fresh.network.state_dict()[name], weights["first." + name])
    assert seeds_of_training(scratch)["train"] == [0]
    monkeypatch.setattr(provenance, "_seeds", lambda folders: [shipped["train"][0]])
    with pytest.raises(InputError, match="or use --from-scratch"):
        check_validation_seed(config)
    with pytest.raises(InputError, match="--from-scratch excludes"):
        dataclasses.replace(scratch, warm_start=SHIPPED_WEIGHTS).check()
    assert not dataclasses.replace(config, model="dactyl").starts_from_shipped_tower
    monkeypatch.setattr("opendactyl.vision.training.config.SHIPPED_WEIGHTS", tmp_path / "none")
    with pytest.raises(InputError, match="add --from-scratch"):
        config.check()


@pytest.mark.parametrize(
    "wrong",
    [
        {"model": "x"}, {"schedule": "x"}, {"backbone": "a.pt"}, {"accelerator": "abacus"},
        {"head": "6d", "model": "keypoint"}, {"workers": -1}, {"seed": -1}, {"views": -1},
        {"learning_rate": -1.0}, {"learning_rate": math.nan}, {"average": 3.0},
        {"weight_decay": math.inf}, {"devices": -1},
    ],
)  # fmt: skip
def test_invalid_settings_are_refused_by_name(wrong):
    with pytest.raises(InputError, match=next(iter(wrong)).replace("_", "-")):
        VisionConfig(**wrong).check()


@pytest.mark.skipif(torch.accelerator.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_refused(tiny, tmp_path):
    with pytest.raises(InputError, match="--accelerator is gpu"):
        train(tiny(tmp_path / "run", accelerator="gpu"))
    assert not (tmp_path / "run").exists()


def test_a_backbone_is_loaded_from_a_file(tiny, tmp_path):
    weights = torchvision.models.resnet18(weights=None).state_dict()
    torch.save(weights, tmp_path / "resnet18.pth")
    config = tiny(tmp_path / "run", model="resnet18", backbone=tmp_path / "resnet18.pth")
    module = build_module(config, make_data(config))
    start_from(config, module)
    tower = module.network.tower.state_dict()
    assert torch.equal(tower["layer4.1.conv2.weight"], weights["layer4.1.conv2.weight"])
    torch.save(torchvision.models.resnet50(weights=None).state_dict(), tmp_path / "resnet18.pth")
    with pytest.raises(InputError, match="another network"):
        start_from(config, module)


@pytest.mark.parametrize("samples", [0, 1])
def test_too_few_samples_are_refused(vision_run, tiny, tmp_path, samples):
    data = generate(
        DatasetConfig(
            out=tmp_path / "data", num_samples=1, seed=5, image_size=64, workers=1, rig=RIG
        )
    )
    if not samples:
        manifest = read_json(data / "manifest.json") | {"num_samples": 0, "shards": []}
        (data / "manifest.json").write_text(json.dumps(manifest))
    words = "fewer than two samples" if samples else "shards"
    with pytest.raises(InputError, match=words):
        train(tiny(tmp_path / "run", data=(data,)))
    assert not (tmp_path / "run").exists()
    if samples:  # One is enough for an evaluation.
        report = EvalConfig(model=vision_run, data=data, out=tmp_path / "report")
        assert evaluate(report)["n"] == 1
