"""The chain of pose estimation in a scene without a hand: data, training, bundle, poses."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from opendactyl.cli.main import main
from opendactyl.control.bundle.load import check_bundle, load_pose_bundle
from opendactyl.control.estimation.estimate import EstimateConfig, estimate
from opendactyl.control.packaging.build import ExportConfig, export_bundle
from opendactyl.control.packaging.config import NO_POLICY
from opendactyl.core.atomic_files import read_json
from opendactyl.core.errors import InputError
from opendactyl.datasets.format.manifest import iterate_samples, load_manifest
from opendactyl.datasets.generation.config import DatasetConfig
from opendactyl.datasets.generation.generate import generate
from opendactyl.vision.evaluation.evaluate import EvalConfig, evaluate
from opendactyl.vision.training.config import VisionConfig
from opendactyl.vision.training.train import train

SCENES = Path(__file__).parents[2] / "scenes"
RIG = str(SCENES / "rig.toml")


def data(out, scene, **options):
    return generate(
        DatasetConfig(
            out=out, num_samples=6, shard_size=6, image_size=64, workers=1, hand="none",
            scene=str(scene), states="scene", rig=RIG, **options,
        )
    )  # fmt: skip


def trained(folder, train_data, val_data, model):
    config = VisionConfig(
        data=(train_data,), val_data=val_data, out=folder, model=model, image_size=64, views=2,
        batch_size=3, max_epochs=1, workers=0, accelerator="cpu",
    )  # fmt: skip
    return train(config)


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """A folder with `train`, `val`, `run` and `bundle`; the scene's own files are gone."""
    folder = tmp_path_factory.mktemp("scene")
    shutil.copytree(SCENES, folder / "mine")
    for name, seed in (("train", 0), ("val", 1)):
        data(folder / name, folder / "mine/table.toml", seed=seed)
    shutil.rmtree(folder / "mine")
    trained(folder / "run", folder / "train", folder / "val", "dactyl")
    export_bundle(
        ExportConfig(vision=folder / "run", policy=NO_POLICY, out=folder / "bundle", rig=RIG)
    )
    return folder


def test_a_bundle_contains_its_scene(chain):
    loaded = load_pose_bundle(chain / "bundle")
    manifest = loaded.manifest
    assert manifest["hand"] == {"name": "none"} and manifest["scene"]["name"] == "table"
    assert manifest["scene"]["files"] == load_manifest(chain / "train").scene["files"]
    assert (chain / "bundle/scene/arm.urdf").read_bytes() == (SCENES / "arm.urdf").read_bytes()
    assert manifest["frames"]["pose"].startswith("of the object in the world frame of the rig")
    assert "hand" not in manifest["frames"] and "z up" in manifest["frames"]["world"]
    text = check_bundle(chain / "bundle")
    assert "scene             table" in text and "hand              none" in text
    card = (chain / "bundle/README.md").read_text()
    assert "for this rig and object in the scene table" in card and "world frame of the rig" in card
    again = export_bundle(
        ExportConfig(vision=chain / "bundle", policy=NO_POLICY, out=chain / "again")
    )
    assert read_json(again / "manifest.json")["scene"] == manifest["scene"]
    (again / "scene/arm.urdf").write_text("<robot/>")
    with pytest.raises(InputError, match=r"arm\.urdf is missing, or its checksum"):
        load_pose_bundle(again)


def test_networks_take_the_scale_of_positions_from_the_scene(chain):
    priors = load_pose_bundle(chain / "bundle").manifest["pose"]["priors"]
    positions = np.array([sample.label.position for sample in iterate_samples(chain / "train")])
    np.testing.assert_allclose(priors["centre"], positions.mean(axis=0), atol=1e-6)


def test_evaluation_and_poses(chain, tmp_path):
    metrics = evaluate(EvalConfig(model=chain / "bundle", data=chain / "val", out=tmp_path / "e"))
    assert metrics["n"] == 6
    sample = next(iter(iterate_samples(chain / "val")))
    for name, image in zip(("left", "right"), sample.images, strict=True):
        Image.fromarray(image).save(tmp_path / f"{name}.png")
    config = EstimateConfig(bundle=chain / "bundle", images=(tmp_path,), out=tmp_path / "poses")
    results = estimate(config)
    assert np.isfinite(results.estimates[0].pose.position).all()
    assert "world frame of the rig" in read_json(tmp_path / "poses/poses.json")["pose"]


@pytest.mark.slow
def test_a_rig_that_does_not_see_the_positions_of_training_is_refused(chain, tmp_path):
    run = trained(tmp_path / "run", chain / "train", chain / "val", "keypoint")
    bundle = export_bundle(ExportConfig(vision=run, policy=NO_POLICY, out=tmp_path / "bundle"))
    text = Path(RIG).read_text().replace("[0.0, 0.0, 0.03]", "[5.0, 5.0, 5.0]")
    (tmp_path / "rig.toml").write_text(text)
    Image.new("RGB", (64, 64)).save(tmp_path / "left.png")
    Image.new("RGB", (64, 64)).save(tmp_path / "right.png")
    config = EstimateConfig(
        bundle=bundle, images=(tmp_path,), out=tmp_path / "poses", rig=str(tmp_path / "rig.toml")
    )
    with pytest.raises(InputError, match=r"no camera of rig 'corners' \(left, right\) sees"):
        estimate(config)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["landmark", "keypoint"])
def test_networks_train_without_landmarks(tmp_path, model):
    shutil.copytree(SCENES, tmp_path / "mine")
    path = tmp_path / "mine/table.toml"
    path.write_text(path.read_text().replace('name = "table"', 'name = "bare"\nlandmarks = []'))
    for name, seed in (("train", 0), ("val", 1)):
        data(tmp_path / name, path, seed=seed)
    run = trained(tmp_path / "run", tmp_path / "train", tmp_path / "val", model)
    bundle = export_bundle(ExportConfig(vision=run, policy=NO_POLICY, out=tmp_path / "bundle"))
    manifest = load_pose_bundle(bundle).manifest
    assert manifest["pose"]["static_landmarks"] == []
    assert manifest["pose"]["agreement"]["rotation_rad"] < 1e-2


def test_policies_need_a_hand(chain, policy_run, capsys, tmp_path):
    config = ExportConfig(vision=chain / "run", policy=policy_run, out=tmp_path / "both")
    with pytest.raises(InputError, match=r"for the scene table without a hand, .* the hand shadow"):
        export_bundle(config)
    for verb in ("run", "evaluate", "view"):
        with pytest.raises(SystemExit) as stop:
            main([verb, "--bundle", str(chain / "bundle")])
        error = capsys.readouterr().err
        assert stop.value.code == 2 and error.count("\n") == 1 and "without a policy" in error
    with pytest.raises(SystemExit) as stop:
        main(["train-policy", "--hand", "none", "--out", str(tmp_path / "run")])
    error = capsys.readouterr().err
    assert stop.value.code == 2 and error.count("\n") == 1
    assert "--hand is none: only the commands of pose estimation work without a hand" in error
