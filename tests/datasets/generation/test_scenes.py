"""Datasets of a scene without a hand."""

import colorsys
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from opendactyl.core.atomic_files import sha256
from opendactyl.core.errors import InputError
from opendactyl.datasets.export.bop import export_bop
from opendactyl.datasets.export.card import write_card
from opendactyl.datasets.format.compatibility import check_hand
from opendactyl.datasets.format.manifest import iterate_samples, load_manifest
from opendactyl.datasets.generation.config import DatasetConfig, ResolvedConfig
from opendactyl.datasets.generation.generate import generate, repair
from opendactyl.datasets.generation.shard_builder import ShardMaker
from opendactyl.datasets.generation.verify import verify
from opendactyl.datasets.loading.cache import open_dataset
from opendactyl.datasets.loading.datamodule import PoseDataModule

SCENES = Path(__file__).parents[2] / "scenes"


def settings(out, folder=SCENES, **options):
    values = {
        "out": out, "num_samples": 4, "shard_size": 4, "image_size": 64, "workers": 1,
        "hand": "none", "scene": str(folder / "table.toml"), "states": "scene",
        "rig": str(SCENES / "rig.toml"),
    }  # fmt: skip
    return DatasetConfig(**values | options)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    out = tmp_path_factory.mktemp("table") / "data"
    return generate(settings(out, masks=True), write_card=write_card)


def test_a_dataset_contains_its_scene(table):
    manifest = load_manifest(table)
    assert manifest.hand == {"name": "none"} and manifest.scene["name"] == "table"
    assert manifest.config["scene"] == "table" and manifest.config["hand"] == "none"
    expected = {name: sha256(SCENES / name) for name in ("arm.urdf", "table.toml")}
    assert manifest.scene["files"] == manifest.config["scene_identity"]["files"] == expected
    assert (table / "scene/arm.urdf").read_bytes() == (SCENES / "arm.urdf").read_bytes()
    assert str(SCENES) not in (table / "manifest.json").read_text() and not verify(table)
    assert "Poses are in the rig's world frame" in (table / "README.md").read_text()
    labels = [sample.label for sample in iterate_samples(table)]
    assert {len(label.joints) for label in labels} == {15}
    assert {label.source for label in labels} == {"scene"}
    for sample in iterate_samples(table):
        assert set(np.unique(sample.masks)) == {0, 1, 2}  # floor, arm or occluders, object


def test_landmarks_are_on_what_does_not_move(table):
    manifest = load_manifest(table)
    points = manifest.load_static_landmarks()
    assert len(points) == 10
    inside = np.abs(points - [-0.2, 0, 0.05]) <= np.array([0.03, 0.03, 0.05]) + 1e-6
    assert inside.all()  # the base of the arm


def test_colours_lie_in_their_ranges(table):
    for sample in iterate_samples(table):
        appearance = sample.label.appearance
        rubber = appearance["scenery"][0]
        assert colorsys.rgb_to_hsv(*rubber["rgb"])[2] <= 0.2
        for rgb in (appearance["floor"]["first"], appearance["floor"]["second"]):
            hue, saturation, value = colorsys.rgb_to_hsv(*rgb)
            assert 0.55 <= hue <= 0.65 and 0.5 <= saturation <= 0.6 and value == 0.5
        assert len(appearance["scenery"]) == 6  # two given; robot, occluders, floor, wall
        for image, mask in zip(sample.images, sample.masks, strict=True):
            floor = image[mask == 0].astype(float).mean(axis=0)
            assert floor.argmax() == 2  # blue, in the light of any appearance


def test_the_same_scene_elsewhere_gives_the_same_dataset(table, tmp_path):
    shutil.copytree(SCENES, tmp_path / "elsewhere")
    again = generate(settings(tmp_path / "data", tmp_path / "elsewhere", masks=True))
    assert load_manifest(again).config_hash == load_manifest(table).config_hash
    assert load_manifest(again).shards == load_manifest(table).shards


def test_a_dataset_is_repaired_and_exported_without_the_scenes_own_files(tmp_path):
    shutil.copytree(SCENES, tmp_path / "mine")
    data = generate(settings(tmp_path / "data", tmp_path / "mine"))
    shutil.rmtree(tmp_path / "mine")
    (data / "shard-000000.tar").unlink()
    assert repair(data, workers=1) == ("shard-000000.tar",)
    export_bop(data, tmp_path / "bop", depth=True)
    assert (tmp_path / "bop/test/000000/rgb_left/000003.png").exists()
    text = (tmp_path / "bop/dataset_info.md").read_text()
    assert "in the scene table" in text and "frame is that of the rig" in text
    (data / "scene/arm.urdf").write_text("<robot/>")
    with pytest.raises(InputError, match=r"arm\.urdf is missing, or its checksum"):
        export_bop(data, tmp_path / "bop2")


def test_a_plain_urdf_is_a_scene_with_a_copy_of_its_own(tmp_path):
    shutil.copytree(SCENES, tmp_path / "mine")
    data = generate(settings(tmp_path / "data", scene=str(tmp_path / "mine/arm.urdf")))
    shutil.rmtree(tmp_path / "mine")
    (data / "shard-000000.tar").unlink()
    assert repair(data, workers=1) == ("shard-000000.tar",)
    assert sorted(path.name for path in (data / "scene").iterdir()) == ["arm.toml", "arm.urdf"]


def test_both_renderers_show_the_same_scene(table, tmp_path):
    other = generate(settings(tmp_path / "filament", renderer="filament", masks=True))
    pairs = list(zip(iterate_samples(table), iterate_samples(other), strict=True))
    for first, second in pairs:
        assert np.array_equal(first.label.corners, second.label.corners)
        visible = first.label.visible_fraction, second.label.visible_fraction
        np.testing.assert_allclose(*visible, atol=0.05)
        assert np.mean(first.masks == second.masks) > 0.98
    means = np.array([[sample.images.mean(axis=(0, 1, 2)) for sample in pair] for pair in pairs])
    assert np.abs(means[:, 0] - means[:, 1]).mean() < 25


def test_pictures_are_backgrounds(tmp_path):
    shutil.copytree(SCENES, tmp_path / "mine")
    (tmp_path / "mine/pictures").mkdir()
    Image.new("RGB", (40, 30), (255, 0, 0)).save(tmp_path / "mine/pictures/red.png")
    path = tmp_path / "mine/table.toml"
    path.write_text(path.read_text() + '[backgrounds]\nfolder = "pictures"\n')
    (tmp_path / "look.toml").write_text("background_texture = 1.0\n")
    look = str(tmp_path / "look.toml")
    data = generate(settings(tmp_path / "data", tmp_path / "mine", masks=True, appearance=look))
    assert load_manifest(data).scene["files"]["pictures/red.png"]
    for sample in iterate_samples(data):
        assert sample.label.appearance["floor"]["pattern"] == "picture"
        floor = sample.images[sample.masks == 0].astype(float).mean(axis=0)
        assert floor[0] > 10 and floor[1] < 5 and floor[2] < 5
    (tmp_path / "mine/pictures/red.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match="is not a picture"):
        resolved = ResolvedConfig.resolve(
            settings(tmp_path / "data2", tmp_path / "mine", appearance=look)
        )
        ShardMaker(resolved, None).write(0, lambda: None)


def test_scenes_and_hands_are_not_joined(table, dataset, val_dataset, tmp_path):
    check_hand(table, load_manifest(table), table)  # as of a run with a copy of the files
    pattern = r"was made for the scene table without a hand, .* shows the hand shadow"
    with pytest.raises(InputError, match=pattern):
        check_hand(table, load_manifest(dataset), dataset)
    with pytest.raises(InputError, match=r"shows the scene table without a hand; .* --scene"):
        check_hand(dataset, load_manifest(table), table)
    module = PoseDataModule([table], val_dataset, image_size=64, batch_size=2)
    with pytest.raises(InputError, match="differ in rig, object or hand"):
        module.setup()
    assert json.loads((dataset / "manifest.json").read_text()).get("scene") is None


def test_landmarks_may_be_none(tmp_path):
    shutil.copytree(SCENES, tmp_path / "mine")
    path = tmp_path / "mine/table.toml"
    path.write_text(path.read_text().replace('name = "table"', 'name = "table"\nlandmarks = []'))
    data = generate(settings(tmp_path / "data", tmp_path / "mine"))
    assert load_manifest(data).landmarks == []
    assert open_dataset(data, 64).anchors.shape == (4, 2, 0, 2)


def test_states_of_hands_and_blind_rigs_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"the states 'settled' are of a hand, and --hand is none"):
        generate(settings(tmp_path / "a", states="settled"))
    with pytest.raises(InputError, match=r"no states|need --hand none and --scene FILE"):
        generate(DatasetConfig(out=tmp_path / "a", states="scene"))
    text = (SCENES / "rig.toml").read_text()
    (tmp_path / "rig.toml").write_text(text.replace("[0.0, 0.0, 0.03]", "[5.0, 5.0, 5.0]"))
    with pytest.raises(InputError, match=r"no camera of rig 'corners' \(left, right\) sees"):
        generate(settings(tmp_path / "a", rig=str(tmp_path / "rig.toml")))
    assert not (tmp_path / "a").exists()
