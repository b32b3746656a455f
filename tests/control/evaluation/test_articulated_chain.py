"""The whole chain for the face cube, at toy size, by the commands."""

import json

import pytest

from opendactyl.cli.main import main
from opendactyl.control.bundle.load import check_bundle

pytestmark = pytest.mark.slow


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert ended.value.code == 0


def test_the_chain_of_an_articulated_object(tmp_path):
    data = {name: tmp_path / name for name in ("train", "val")}
    for seed, (name, count) in enumerate({"train": 8, "val": 4}.items()):
        run("dataset", "--object", "face-cube", "--out", data[name], "--num-samples", count,
            "--shard-size", 4, "--image-size", 64, "--workers", 1, "--seed", seed)  # fmt: skip
    vision, policy, bundle = (tmp_path / name for name in ("vision", "policy", "bundle"))
    run("train-vision", "--data", data["train"], "--val-data", data["val"], "--out", vision,
        "--image-size", 64, "--batch-size", 4, "--max-epochs", 1, "--max-minutes", 3,
        "--workers", 0)  # fmt: skip
    run("train-policy", "--object", "face-cube", "--task", "rotate-face", "--out", policy,
        "--num-envs", 8, "--horizon", 4, "--minibatches", 2, "--epochs", 1, "--max-actions", 320,
        "--eval-episodes", 2)  # fmt: skip
    run("export", "--vision", vision, "--policy", policy, "--out", bundle)
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert [hinge["name"] for hinge in manifest["pose"]["hinges"]] == ["top", "bottom"]
    assert manifest["pose"]["agreement"]["hinges_rad"] < 1e-3
    assert manifest["policy"]["task"] == "rotate-face"
    assert "valid" in check_bundle(bundle)
    for pose in ("sim", "vision"):
        out = tmp_path / f"loop-{pose}"
        run("evaluate", "--bundle", bundle, "--pose", pose, "--episodes", 2, "--workers", 1,
            "--seconds-per-goal", 0.5, "--out", out)  # fmt: skip
        assert len(json.loads((out / "results.json").read_text())["rotations"]["values"]) == 2
    run("eval-vision", "--model", bundle, "--data", data["val"], "--out", tmp_path / "errors")
    errors = json.loads((tmp_path / "errors/metrics.json").read_text())
    assert set(errors["hinge_error_deg"]) == set(errors["coverage_90_hinges"]) == {"top", "bottom"}
    assert "hinge top" in (tmp_path / "errors/report.html").read_text()
