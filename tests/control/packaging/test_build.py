"""Joining networks into a bundle."""

import shutil

import pytest
import torch

from opendactyl.control.bundle.load import load_bundle
from opendactyl.control.packaging.build import ExportConfig, export_bundle
from opendactyl.control.packaging.metrics import figures_of_run
from opendactyl.core.atomic_files import read_json, write_json
from opendactyl.core.errors import InputError
from opendactyl.datasets.generation.generate import DatasetConfig, generate
from opendactyl.vision.evaluation.evaluate import EvalConfig, evaluate


@pytest.fixture
def copied(vision_run, tmp_path):
    return shutil.copytree(vision_run, tmp_path / "vision")


def test_export_too_early_says_what_comes_first(tmp_path, vision_run, monkeypatch):
    with pytest.raises(InputError, match="make train-vision"):
        export_bundle(ExportConfig(vision=tmp_path / "absent", out=tmp_path / "bundle"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="make train-policy"):
        export_bundle(ExportConfig(vision=vision_run, out=tmp_path / "bundle"))
    assert not (tmp_path / "bundle").exists()


def test_an_interrupted_training_is_not_exported(copied, policy_run, tmp_path):
    best = copied / "checkpoints" / "best.ckpt"
    checkpoint = torch.load(best, weights_only=True)
    checkpoint["state_dict"]["log_std_shift"].zero_()
    torch.save(checkpoint, best)
    with pytest.raises(InputError, match="finish it with train-vision --resume"):
        export_bundle(ExportConfig(vision=copied, policy=policy_run, out=tmp_path / "bundle"))


def test_figures_of_other_weights_are_left_out(copied, val_dataset, capsys):
    assert figures_of_run(copied) == {}
    report = copied / "report"
    measured = evaluate(EvalConfig(model=copied, data=val_dataset, out=report, resume=True))
    assert figures_of_run(copied)["vision"]["n"] == measured["n"] == 12
    best = copied / "checkpoints" / "best.ckpt"
    checkpoint = torch.load(best, weights_only=True)
    checkpoint["state_dict"]["log_std_shift"] += 1
    torch.save(checkpoint, best)
    assert figures_of_run(copied) == {}
    assert "not known to be of these weights" in capsys.readouterr().err


def test_what_is_known_of_a_run_goes_out_whatever_lies_where_its_data_lay(
    copied, val_dataset, bundle, tmp_path
):
    evaluate(EvalConfig(model=copied, data=val_dataset, out=copied / "report", resume=True))
    val = DatasetConfig(out=tmp_path / "val", num_samples=2, seed=1, image_size=32, workers=1)
    settings = read_json(copied / "config.json") | {"val_data": str(generate(val))}
    write_json(copied / "config.json", settings)
    weights, out = tmp_path / "weights", tmp_path / "bundle"
    export_bundle(ExportConfig(vision=copied, policy=bundle, out=out, weights=weights))
    assert [path.name for path in weights.iterdir()] == ["pose.safetensors"]
    without, measured = load_bundle(out), load_bundle(bundle)
    assert without.manifest["metrics"]["vision"]["n"] == 12
    assert "agreement" not in without.manifest["pose"]
    # It is the same bundle, for all that was measured with it or of it.
    assert "agreement" in measured.manifest["pose"]
    assert measured.identity == without.identity


def test_a_bundle_behind_a_link_is_replaced_where_it_lies(copy, bundle, tmp_path):
    (tmp_path / "link").symlink_to(copy)
    (copy / "README.md").write_text("another card")
    export_bundle(ExportConfig(vision=bundle, policy=bundle, out=tmp_path / "link"))
    assert (tmp_path / "link").is_symlink()
    assert "another card" not in (copy / "README.md").read_text()
    assert not list(tmp_path.glob(".replaced-*"))


def test_export_replaces_bundles_and_nothing_else(copy, bundle, tmp_path):
    (copy / "README.md").write_text("another card")
    export_bundle(ExportConfig(vision=bundle, policy=bundle, out=copy))
    assert "another card" not in (copy / "README.md").read_text()
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "love.txt").write_text("dear")
    with pytest.raises(InputError, match="is no bundle"):
        export_bundle(ExportConfig(vision=bundle, policy=bundle, out=tmp_path / "letters"))
    assert (tmp_path / "letters" / "love.txt").read_text() == "dear"
    assert not list(tmp_path.glob(".bundle-*"))


def test_networks_of_a_bundle_are_joined_with_others(bundle, vision_run, policy_run, tmp_path):
    new = export_bundle(ExportConfig(vision=bundle, policy=policy_run, out=tmp_path / "a"))
    old, manifest = load_bundle(bundle).manifest, load_bundle(new).manifest
    assert manifest["sha256"]["pose.onnx"] == old["sha256"]["pose.onnx"]
    assert {k: v for k, v in manifest.items() if k not in ("sha256", "metrics")} == {
        k: v for k, v in old.items() if k not in ("sha256", "metrics")
    }
    other = export_bundle(
        ExportConfig(vision=bundle, policy=bundle, out=tmp_path / "b", task="face-up")
    )
    manifest = load_bundle(other).manifest
    assert manifest["sha256"] == old["sha256"]
    assert manifest["policy"]["task"] == "face-up"


def test_an_estimator_of_one_object_is_not_joined_with_a_policy_of_another(
    vision_run, policy_run, tmp_path, monkeypatch
):
    other = shutil.copytree(policy_run, tmp_path / "policy")
    config = read_json(other / "config.json")
    write_json(other / "config.json", config | {"object": "prism"})
    with pytest.raises(InputError, match="to see the block, the policy to hold the prism"):
        export_bundle(ExportConfig(vision=vision_run, policy=other, out=tmp_path / "bundle"))
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize("option", ["rig", "quantize", "weights"])
def test_what_needs_a_run_is_refused_for_a_bundle(bundle, policy_run, tmp_path, option):
    settings = {option: tmp_path / "x" if option != "rig" else "dactyl"}
    with pytest.raises(InputError, match=f"--{option} needs a run of training"):
        export_bundle(ExportConfig(vision=bundle, policy=bundle, out=tmp_path / "a", **settings))
    assert not (tmp_path / "a").exists()


def test_weights_of_a_bundle_are_not_taken_apart(bundle, policy_run, tmp_path):
    weights = tmp_path / "weights"
    config = ExportConfig(vision=bundle, policy=policy_run, out=tmp_path / "a", weights=weights)
    export_bundle(config)
    assert [path.name for path in weights.iterdir()] == ["policy-spin.safetensors"]
