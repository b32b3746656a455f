"""Joining networks into a bundle."""

import dataclasses
import shutil

import pytest
import torch

from opendactyl.control.bundle import load_bundle
from opendactyl.control.package import ExportConfig, export_bundle
from opendactyl.datasets.generate import DatasetConfig, generate
from opendactyl.files.atomic import read_json, write_json
from opendactyl.files.errors import InputError
from opendactyl.vision.evaluate import EvalConfig, evaluate


def test_export_too_early_says_what_comes_first(tmp_path, vision_run, monkeypatch):
    with pytest.raises(InputError, match="make train-vision"):
        export_bundle(ExportConfig(vision=tmp_path / "absent", out=tmp_path / "bundle"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="make train-policy"):
        export_bundle(ExportConfig(vision=vision_run, out=tmp_path / "bundle"))
    assert not (tmp_path / "bundle").exists()


def test_an_interrupted_training_is_not_exported_with_figures_of_other_weights(
    vision_run, val_dataset, policy_run, tmp_path
):
    run = shutil.copytree(vision_run, tmp_path / "vision")
    evaluate(EvalConfig(model=run, data=val_dataset, out=run / "report", resume=True))
    config = ExportConfig(vision=run, policy=policy_run, out=tmp_path / "bundle")
    assert "vision" in load_bundle(export_bundle(config)).manifest["metrics"]
    best = run / "checkpoints" / "best.ckpt"
    checkpoint = torch.load(best, weights_only=True)
    checkpoint["state_dict"]["log_std_shift"] += 1
    torch.save(checkpoint, best)
    assert load_bundle(export_bundle(config)).manifest["metrics"] == {}
    checkpoint["state_dict"]["log_std_shift"].zero_()
    torch.save(checkpoint, best)
    with pytest.raises(InputError, match="finish it with train-vision --resume"):
        export_bundle(config)


def test_other_data_where_those_of_training_lay_do_not_stop_an_export(
    vision_run, policy_run, tmp_path
):
    run = shutil.copytree(vision_run, tmp_path / "vision")
    val = DatasetConfig(out=tmp_path / "val", num_samples=2, seed=1, image_size=32, workers=1)
    settings = read_json(run / "config.json") | {"val_data": str(generate(val))}
    write_json(run / "config.json", settings)
    config = ExportConfig(vision=run, policy=policy_run, out=tmp_path / "bundle")
    without = load_bundle(export_bundle(config))
    assert "agreement" not in without.manifest["pose"]
    # It is the same bundle, for all that was measured with it or of it.
    measured = load_bundle(export_bundle(dataclasses.replace(config, vision=vision_run)))
    assert "agreement" in measured.manifest["pose"]
    assert measured.identity == without.identity


def test_a_bundle_behind_a_link_is_replaced_where_it_lies(copy, vision_run, policy_run, tmp_path):
    (tmp_path / "link").symlink_to(copy)
    (copy / "README.md").write_text("another card")
    export_bundle(ExportConfig(vision=vision_run, policy=policy_run, out=tmp_path / "link"))
    assert (tmp_path / "link").is_symlink()
    assert "another card" not in (copy / "README.md").read_text()
    assert not list(tmp_path.glob(".replaced-*"))


def test_export_replaces_bundles_and_nothing_else(copy, vision_run, policy_run, tmp_path):
    (copy / "README.md").write_text("another card")
    weights = tmp_path / "weights"
    export_bundle(ExportConfig(vision=vision_run, policy=policy_run, out=copy, weights=weights))
    names = {path.name for path in weights.iterdir()}
    assert names == {"pose.safetensors", "policy-spin.safetensors"}
    assert "another card" not in (copy / "README.md").read_text()
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "love.txt").write_text("dear")
    with pytest.raises(InputError, match="is no bundle"):
        export_bundle(ExportConfig(vision=vision_run, policy=policy_run, out=tmp_path / "letters"))
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
        ExportConfig(vision=vision_run, policy=bundle, out=tmp_path / "b", task="face-up")
    )
    manifest = load_bundle(other).manifest
    assert manifest["sha256"]["policy.onnx"] == old["sha256"]["policy.onnx"]
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


def test_weights_are_those_of_the_runs_among_the_sources(bundle, vision_run, policy_run, tmp_path):
    def written(name, **sources):
        out = tmp_path / name
        export_bundle(ExportConfig(out=out / "bundle", weights=out / "weights", **sources))
        return [path.name for path in (out / "weights").iterdir()]

    assert written("a", vision=bundle, policy=policy_run) == ["policy-spin.safetensors"]
    assert written("b", vision=vision_run, policy=bundle) == ["pose.safetensors"]
