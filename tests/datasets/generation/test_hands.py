"""Datasets of a hand that is not the default one."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from opendactyl.core.atomic_files import sha256
from opendactyl.core.errors import InputError
from opendactyl.datasets.export.bop import export_bop
from opendactyl.datasets.format.compatibility import check_hand
from opendactyl.datasets.format.manifest import iterate_samples, load_manifest
from opendactyl.datasets.generation.config import DatasetConfig, ResolvedConfig
from opendactyl.datasets.generation.generate import generate, repair
from opendactyl.datasets.generation.shard_builder import ShardMaker
from opendactyl.datasets.generation.verify import verify
from opendactyl.datasets.loading.cache import open_dataset
from opendactyl.datasets.loading.datamodule import PoseDataModule

HANDS = Path(__file__).parents[2] / "hands"


def settings(out, hand, **options):
    return DatasetConfig(
        out=out, num_samples=3, shard_size=3, image_size=64, workers=1, hand=str(hand), **options
    )


@pytest.fixture(scope="module")
def claw(tmp_path_factory):
    return generate(settings(tmp_path_factory.mktemp("claw") / "data", HANDS / "claw.toml"))


def test_a_dataset_contains_its_hand(claw):
    manifest = load_manifest(claw)
    assert manifest.hand_name == manifest.config["hand"] == manifest.hand["name"] == "claw"
    expected = {name: sha256(HANDS / name) for name in ("claw.toml", "claw.xml")}
    assert manifest.hand_files == manifest.hand["files"] == expected
    assert (claw / "hand/claw.xml").read_bytes() == (HANDS / "claw.xml").read_bytes()
    assert str(HANDS) not in (claw / "manifest.json").read_text()
    assert len(manifest.landmarks) == 10 and not verify(claw)
    assert {len(sample.label.joints) for sample in iterate_samples(claw)} == {6}
    cached = open_dataset(claw, 64)
    assert cached.anchors.shape == (3, 3, 10, 2)
    seen = (cached.anchors > 0) & (cached.anchors < 1)
    assert seen.all(axis=-1).mean() > 0.5  # most landmarks are in the images


def test_the_same_hand_elsewhere_gives_the_same_dataset(claw, tmp_path):
    shutil.copytree(HANDS, tmp_path / "elsewhere")
    again = generate(settings(tmp_path / "data", tmp_path / "elsewhere/claw.toml"))
    assert load_manifest(again).config_hash == load_manifest(claw).config_hash
    assert load_manifest(again).shards == load_manifest(claw).shards


def test_a_dataset_is_repaired_and_exported_without_the_hands_own_files(tmp_path):
    shutil.copytree(HANDS, tmp_path / "mine")
    data = generate(settings(tmp_path / "data", tmp_path / "mine/claw.toml"))
    shutil.rmtree(tmp_path / "mine")
    (data / "shard-000000.tar").unlink()
    assert repair(data, workers=1) == ("shard-000000.tar",)
    export_bop(data, tmp_path / "bop")
    assert (tmp_path / "bop/test/000000/rgb_left/000002.png").exists()
    (data / "hand/claw.xml").write_text("<mujoco/>")
    with pytest.raises(InputError, match=r"claw\.xml is missing, or its checksum"):
        export_bop(data, tmp_path / "bop2")


def test_workers_refuse_another_hand(tmp_path):
    shutil.copytree(HANDS, tmp_path / "mine")
    resolved = ResolvedConfig.resolve(settings(tmp_path / "data", tmp_path / "mine/claw.toml"))
    path = tmp_path / "mine/claw.toml"
    path.write_text(path.read_text().replace("drop_height = -0.1", "drop_height = -0.11"))
    with pytest.raises(InputError, match="restore its files, or install the same versions"):
        ShardMaker(resolved, None)


def test_datasets_of_different_hands_are_not_joined(claw, dataset, val_dataset, tmp_path):
    module = PoseDataModule([claw], val_dataset, image_size=64, batch_size=2)
    with pytest.raises(InputError, match="differ in rig, object or hand; make both with the same"):
        module.setup()
    check_hand(dataset, load_manifest(dataset), dataset)
    check_hand(claw, load_manifest(claw), claw)  # as of a run with a copy of the files
    with pytest.raises(InputError, match=r"was made for the hand claw, .* shows the hand shadow"):
        check_hand(claw, load_manifest(dataset), dataset)
    with pytest.raises(InputError, match=r"was made for the hand shadow, .* shows the hand claw"):
        check_hand(dataset, load_manifest(claw), claw)


def test_the_settings_of_the_default_hand_are_those_of_datasets_before_hands_were_files(dataset):
    path = dataset / "manifest.json"
    value = json.loads(path.read_text())
    assert "hand" not in value["config"] and "hand_identity" not in value["config"]
    assert value["hand"]["name"] == "shadow" and len(value["hand"]["files"]) > 10
    assert load_manifest(dataset).hand_name == "shadow"
    resolved = ResolvedConfig.from_content(value["config"], DatasetConfig(out=dataset))
    assert resolved.config.hand == "shadow" and resolved.content() == value["config"]
    moved = dataclasses.replace(resolved, config=dataclasses.replace(resolved.config, hand="leap"))
    with pytest.raises(InputError, match=r"leap_hand/right_hand\.xml is neither in"):
        moved.content()
