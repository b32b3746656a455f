"""From the file of an object to its bundle, which runs where the file is not."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from opendactyl.control.bundle.load import load_bundle
from opendactyl.control.evaluation.episodes import EpisodeConfig, make_env
from opendactyl.control.evaluation.policy_states import rollout_source
from opendactyl.control.packaging.build import export_bundle
from opendactyl.control.packaging.config import NO_POLICY, ExportConfig
from opendactyl.core.atomic_files import read_json
from opendactyl.core.errors import InputError
from opendactyl.datasets.generation.config import DatasetConfig
from opendactyl.datasets.generation.generate import generate
from opendactyl.policy.training.config import PolicyConfig
from opendactyl.policy.training.train import train as train_policy
from opendactyl.sim.objects.shipped import object_spec
from opendactyl.vision.evaluation.config import EvalConfig
from opendactyl.vision.evaluation.evaluate import evaluate
from opendactyl.vision.training.config import VisionConfig
from opendactyl.vision.training.train import train as train_vision

pytestmark = pytest.mark.slow


def render(out, obj, seed):
    return generate(
        DatasetConfig(
            out=out, num_samples=8, seed=seed, shard_size=8, image_size=64, workers=1,
            states="random", object=str(obj),
        )
    )  # fmt: skip


@pytest.fixture(scope="module")
def work(object_folder, tmp_path_factory):
    """Data, runs and bundle of a crate whose own files are gone."""
    folder = tmp_path_factory.mktemp("work")
    mine = folder / "mine"
    shutil.copytree(object_folder, mine)
    crate = mine / "crate.toml"
    for name, seed in (("train", 0), ("val", 1), ("test", 2)):
        render(folder / name, crate, seed)
    train_vision(
        VisionConfig(
            data=(folder / "train",), val_data=folder / "val", out=folder / "vision", image_size=64,
            model="dactyl", batch_size=4, max_epochs=1, workers=0, accelerator="cpu",
        )
    )  # fmt: skip
    train_policy(
        PolicyConfig(
            out=folder / "policy", object=str(crate), num_envs=4, horizon=4, minibatches=2,
            epochs=1, max_actions=64, eval_episodes=1,
        )
    )  # fmt: skip
    shutil.rmtree(mine)
    export_bundle(
        ExportConfig(vision=folder / "vision", policy=folder / "policy", out=folder / "bundle")
    )
    return folder


def test_the_bundle_contains_the_object_and_runs_elsewhere(work, tmp_path):
    shutil.copytree(work / "bundle", tmp_path / "bundle")
    bundle = load_bundle(tmp_path / "bundle")
    assert bundle.object_name == "crate"
    assert bundle.object == str(tmp_path / "bundle/object/crate.toml")
    assert set(bundle.manifest["object"]["files"]) == {
        "crate.toml", "crate.obj", "crate.mtl", "quarters.png"
    }  # fmt: skip
    assert str(work) not in (tmp_path / "bundle/manifest.json").read_text().split('"training"')[0]
    env = make_env(EpisodeConfig(bundle=tmp_path / "bundle"), bundle, 1)
    env.reset()
    assert env.scene.object_name == bundle.object
    assert env.scene.model.body("object").mass[0] == pytest.approx(0.08)


def test_data_of_the_object_is_accepted_and_of_others_refused(work, object_folder, tmp_path):
    metrics = evaluate(
        EvalConfig(model=work / "bundle", data=work / "test", out=tmp_path / "report")
    )
    assert metrics["n"] == 8
    other = tmp_path / "objects"
    shutil.copytree(object_folder, other)
    (other / "crate.toml").write_text((other / "crate.toml").read_text() + "friction = 0.5\n")
    data = render(tmp_path / "other", other / "crate.toml", 4)
    with pytest.raises(InputError, match="was trained on another object"):
        evaluate(EvalConfig(model=work / "bundle", data=data, out=tmp_path / "report2"))
    bundle = work / "bundle"
    make_source = rollout_source(f"policy:{bundle}", load_bundle(bundle).object)
    assert make_source is not None
    with pytest.raises(InputError, match="the bundle was made for the crate, not the"):
        rollout_source(f"policy:{bundle}", str(other / "crate.toml"))


def test_an_object_with_the_keypoints_of_a_shipped_one_stays_the_users(tmp_path):
    text = (Path(__file__).parents[3] / "configs/objects/block.toml").read_text()
    dice = tmp_path / "dice.toml"
    dice.write_text(text.replace('name = "block"', 'name = "dice"'))
    for name, obj, seed in (("train", dice, 0), ("val", dice, 1), ("block", "block", 2)):
        render(tmp_path / name, obj, seed)
    run = train_vision(
        VisionConfig(
            data=(tmp_path / "train",), val_data=tmp_path / "val", out=tmp_path / "vision",
            image_size=64, model="dactyl", batch_size=4, max_epochs=1, workers=0, accelerator="cpu",
        )
    )  # fmt: skip
    bundle = export_bundle(ExportConfig(vision=run, policy=NO_POLICY, out=tmp_path / "bundle"))
    manifest = read_json(bundle / "manifest.json")
    assert manifest["pose"]["object"] == "dice" and "dice.toml" in manifest["object"]["files"]
    for model in (run, bundle):
        own = EvalConfig(model=model, data=tmp_path / "val", out=tmp_path / f"own-{model.name}")
        assert evaluate(own)["n"] == 8
        with pytest.raises(InputError, match="was trained on another object"):
            evaluate(dataclasses.replace(own, data=tmp_path / "block", out=tmp_path / "other"))


def test_a_bundle_is_made_of_bundles_and_its_files_are_checked(work, bundle, tmp_path):
    again = export_bundle(
        ExportConfig(vision=work / "bundle", policy=work / "bundle", out=tmp_path / "again")
    )
    assert load_bundle(again).manifest["object"] == load_bundle(work / "bundle").manifest["object"]
    with pytest.raises(InputError, match="was trained for the crate, the policy for the block"):
        export_bundle(ExportConfig(vision=work / "bundle", policy=bundle, out=tmp_path / "mixed"))
    (again / "object/crate.mtl").write_text("")
    with pytest.raises(InputError, match=r"crate\.mtl is missing, or its checksum"):
        load_bundle(again)


def test_a_run_is_resumed_with_its_object_only(work, object_folder):
    settings = read_json(work / "policy/config.json")
    assert settings["object"] == "crate" and "files" in settings["object_identity"]
    stored = object_spec(str(work / "policy/object/crate.toml"))
    np.testing.assert_array_equal(
        stored.keypoints, object_spec(str(object_folder / "crate.toml")).keypoints
    )
    with pytest.raises(InputError, match="was written with other settings"):
        train_policy(
            PolicyConfig(
                out=work / "policy", object=str(object_folder / "egg.toml"), num_envs=4, horizon=4,
                minibatches=2, epochs=1, max_actions=64, eval_episodes=1, resume=True,
            )
        )  # fmt: skip
