"""Building bundles."""

import os
import shutil
from pathlib import Path

import onnx
import pytest
import torch

from opendactyl.control.bundle.load import load_bundle
from opendactyl.control.bundle.manifest import training_seeds
from opendactyl.control.packaging.build import export_bundle
from opendactyl.control.packaging.config import ExportConfig
from opendactyl.control.packaging.metrics import metrics_of_run, record
from opendactyl.core.atomic_files import read_json, sha256, write_json
from opendactyl.core.errors import InputError
from opendactyl.datasets.generation.generate import DatasetConfig, generate
from opendactyl.models.weights import about_weights
from opendactyl.vision.evaluation.config import EvalConfig
from opendactyl.vision.evaluation.evaluate import evaluate


@pytest.fixture
def copied(vision_run, tmp_path):
    return shutil.copytree(vision_run, tmp_path / "vision")


def test_export_without_runs_names_the_command_to_run(tmp_path, vision_run, monkeypatch):
    with pytest.raises(InputError, match="make train-vision"):
        export_bundle(ExportConfig(vision=tmp_path / "absent", out=tmp_path / "bundle"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="make train-policy"):
        export_bundle(ExportConfig(vision=vision_run, out=tmp_path / "bundle"))
    assert not (tmp_path / "bundle").exists()


def test_a_run_without_the_calibration_of_full_covariances_is_not_exported(
    copied, policy_run, tmp_path
):
    best = copied / "checkpoints" / "best.ckpt"
    checkpoint = torch.load(best, weights_only=True)
    # As in runs that were interrupted, or calibrated when covariances were isotropic.
    assert checkpoint.pop("covariance") == "full"
    torch.save(checkpoint, best)
    with pytest.raises(InputError, match="finish it with train-vision --resume"):
        export_bundle(ExportConfig(vision=copied, policy=policy_run, out=tmp_path / "bundle"))


def test_metrics_of_other_weights_are_left_out(copied, val_dataset, capsys):
    assert metrics_of_run(copied) == {}
    report = copied / "report"
    measured = evaluate(EvalConfig(model=copied, data=val_dataset, out=report, resume=True))
    assert metrics_of_run(copied)["vision"]["n"] == measured["n"] == 12
    about = read_json(report / "config.json")
    for other in ({"chosen_by": False}, {"augment": {"blur": 1.0}}):
        write_json(report / "config.json", about | other)
        assert metrics_of_run(copied) == {}
    write_json(report / "config.json", about)
    best = copied / "checkpoints" / "best.ckpt"
    checkpoint = torch.load(best, weights_only=True)
    checkpoint["state_dict"]["log_std_shift"] += 1
    torch.save(checkpoint, best)
    assert metrics_of_run(copied) == {}
    assert "may be of other weights" in capsys.readouterr().err


@pytest.mark.slow
def test_export_does_not_need_the_validation_data_of_the_run(copied, val_dataset, bundle, tmp_path):
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
    # Measurements do not change the identity.
    assert "agreement" in measured.manifest["pose"]
    assert measured.identity == without.identity


def test_a_bundle_behind_a_link_is_replaced_in_place(copy, bundle, tmp_path):
    (tmp_path / "link").symlink_to(copy)
    (copy / "README.md").write_text("another card")
    export_bundle(ExportConfig(vision=bundle, policy=bundle, out=tmp_path / "link"))
    assert (tmp_path / "link").is_symlink()
    assert "another card" not in (copy / "README.md").read_text()
    assert not list(tmp_path.glob(".replaced-*"))


def test_export_replaces_bundles_only(copy, bundle, tmp_path):
    (copy / "README.md").write_text("another card")
    export_bundle(ExportConfig(vision=bundle, policy=bundle, out=copy))
    assert "another card" not in (copy / "README.md").read_text()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("keep")
    with pytest.raises(InputError, match="is not a bundle"):
        export_bundle(ExportConfig(vision=bundle, policy=bundle, out=tmp_path / "notes"))
    assert (tmp_path / "notes" / "a.txt").read_text() == "keep"
    with pytest.raises(InputError, match=r"a\.txt is a file"):
        export_bundle(ExportConfig(vision=bundle, policy=bundle, out=tmp_path / "notes" / "a.txt"))
    assert not list(tmp_path.glob(".bundle-*"))


def test_other_files_in_a_bundles_folder_are_never_removed(copy, bundle, tmp_path, monkeypatch):
    (copy / "evaluation").mkdir()
    (copy / "evaluation" / "results.json").write_text("{}")
    (copy / "notes.txt").write_text("keep")
    before = (copy / "manifest.json").read_bytes()
    config = ExportConfig(vision=bundle, policy=bundle, out=copy)
    with pytest.raises(InputError, match=r"also holds evaluation, notes\.txt"):
        export_bundle(config)
    (copy / "notes.txt").unlink()
    shutil.rmtree(copy / "evaluation")

    def card(manifest):  # another program writes while the bundle is exported
        (copy / "evaluation").mkdir()
        return ""

    monkeypatch.setattr("opendactyl.control.packaging.build.model_card", card)
    with pytest.raises(InputError, match="also holds evaluation"):
        export_bundle(config)
    assert (copy / "evaluation").is_dir()
    assert (copy / "manifest.json").read_bytes() == before
    assert not list(tmp_path.glob(".bundle-*"))


def test_export_does_not_write_through_links_into_another_bundle(copy, bundle, tmp_path):
    linked = tmp_path / "linked"
    shutil.copytree(copy, linked)
    for name in ("pose.onnx", "policy.onnx", "manifest.json"):
        (linked / name).unlink()
        (linked / name).symlink_to(Path("..", "bundle", name))
    # A valid network with other bytes.
    model = onnx.load(copy / "policy.onnx")
    model.doc_string = "the linked bundle"
    onnx.save(model, copy / "policy.onnx")
    manifest = read_json(copy / "manifest.json")
    manifest["sha256"]["policy.onnx"] = sha256(copy / "policy.onnx")
    write_json(copy / "manifest.json", manifest)
    before = {path.name: path.read_bytes() for path in copy.iterdir()}
    record(linked, [])  # rewrites the manifest
    assert not (linked / "manifest.json").is_symlink()
    export_bundle(ExportConfig(vision=bundle, policy=bundle, out=linked))
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == before
    assert not any(path.is_symlink() for path in linked.iterdir())
    assert load_bundle(linked).manifest["sha256"] != load_bundle(copy).manifest["sha256"]


@pytest.mark.parametrize(("mask", "mode"), [(0o077, 0o700), (0o002, 0o775)])
def test_the_permissions_of_a_bundle_follow_the_umask(bundle, tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        out = export_bundle(ExportConfig(vision=bundle, policy=bundle, out=tmp_path / "new"))
    finally:
        os.umask(before)
    assert out.stat().st_mode & 0o777 == mode
    assert {path.stat().st_mode & 0o777 for path in out.iterdir()} == {mode & 0o666}


def test_a_bundle_from_links_holds_files(copy, tmp_path):
    (copy / "pose.onnx").rename(tmp_path / "pose.onnx")
    (copy / "pose.onnx").symlink_to(Path("..", "pose.onnx"))
    out = export_bundle(ExportConfig(vision=copy, policy=copy, out=tmp_path / "new"))
    assert not any(path.is_symlink() for path in out.iterdir())
    assert load_bundle(out).manifest["sha256"] == load_bundle(copy).manifest["sha256"]


def test_networks_of_a_bundle_are_combined_with_others(bundle, vision_run, policy_run, tmp_path):
    new = export_bundle(ExportConfig(vision=bundle, policy=policy_run, out=tmp_path / "a"))
    old, manifest = load_bundle(bundle).manifest, load_bundle(new).manifest
    assert manifest["sha256"]["pose.onnx"] == old["sha256"]["pose.onnx"]
    assert training_seeds(manifest) == ([0], True)
    assert {k: v for k, v in manifest.items() if k not in ("sha256", "metrics")} == {
        k: v for k, v in old.items() if k not in ("sha256", "metrics")
    }
    other = export_bundle(
        ExportConfig(vision=bundle, policy=bundle, out=tmp_path / "b", task="face-up")
    )
    manifest = load_bundle(other).manifest
    assert manifest["sha256"] == old["sha256"]
    assert manifest["policy"]["task"] == "face-up"


def test_estimator_and_policy_of_different_objects_are_refused(
    vision_run, policy_run, tmp_path, monkeypatch
):
    other = shutil.copytree(policy_run, tmp_path / "policy")
    config = read_json(other / "config.json")
    write_json(other / "config.json", config | {"object": "prism"})
    with pytest.raises(InputError, match="for the block, the policy for the prism"):
        export_bundle(ExportConfig(vision=vision_run, policy=other, out=tmp_path / "bundle"))
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize("option", ["rig", "quantize", "weights"])
def test_options_that_need_a_run_are_refused_for_a_bundle(bundle, policy_run, tmp_path, option):
    settings = {option: tmp_path / "x" if option != "rig" else "dactyl"}
    with pytest.raises(InputError, match=f"--{option} needs a run of training"):
        export_bundle(ExportConfig(vision=bundle, policy=bundle, out=tmp_path / "a", **settings))
    assert not (tmp_path / "a").exists()


def test_weights_are_written_for_runs_only(bundle, policy_run, tmp_path):
    weights = tmp_path / "weights"
    config = ExportConfig(vision=bundle, policy=policy_run, out=tmp_path / "a", weights=weights)
    export_bundle(config)
    (path,) = weights.iterdir()
    assert path.name == "policy-spin.safetensors"
    assert about_weights(path) == {
        "task": "spin", "layout": "default", "action": "absolute", "smoothing": 0.5,
        "object": "block", "seeds": [0], "seeds_complete": True,
    }  # fmt: skip
