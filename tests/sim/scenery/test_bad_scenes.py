"""Wrong scene files: one line that says what, where and how to mend it."""

from pathlib import Path

import numpy as np
import pytest
import trimesh

from opendactyl.core.errors import InputError
from opendactyl.sim.assets.storage import store_copy
from opendactyl.sim.scene import load_scene
from opendactyl.sim.scene_states import SceneStates
from opendactyl.sim.scenery.reference import reference_of, scenery

SCENES = Path(__file__).parents[2] / "scenes"


@pytest.fixture
def refused(tmp_path):
    """The message about a scene that was edited: pairs of old and new text."""

    def check(*edits, sample=False):
        text = (SCENES / "table.toml").read_text()
        for old, new in edits:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "table.toml").write_text(text)
        (tmp_path / "arm.urdf").write_bytes((SCENES / "arm.urdf").read_bytes())
        with pytest.raises(InputError) as caught:
            scene = load_scene("block", f"scene:{tmp_path / 'table.toml'}")
            if sample:
                SceneStates(scene).sample(np.random.default_rng(0))
        message = str(caught.value)
        assert "\n" not in message and str(tmp_path) in message
        return message

    return check


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (("[floor]", "[flor]"), "unknown key 'flor' (did you mean floor?); the keys are: name"),
        (("radius = 0.1", "radus = 0.1"), "volume: unknown key 'radus' (did you mean radius?)"),
        (("lying = 0.6", "lying = 0.7"), "the fractions are lying = 0.7, lifted = 0.2, free = 0.2"),
        (("lying = 0.6", "lying = -0.6"), "they must not be negative, and sum to 1"),
        (('"disc"', '"ball"'), "shape is 'ball'; it must be one of box, disc, palm"),
        (("[0.0, 0.15]", "[0.15, 0.0]"), "is empty; give the lowest, then the highest"),
        (('"arm.urdf"', '"leg.urdf"'), "leg.urdf is neither in"),
        (("bend = [", "elbow = ["), "it has no joint 'elbow'; its joints are turn, bend"),
        (("[1.0, 2.0]", "[1.0, 3.0]"), "range 1 to 3 of joint bend exceeds its limits, 0 to 2.5"),
        (("[1.0, 2.0]", "[2.0, 1.0]"), "it must be a number, or a range [lowest, highest]"),
        (('"robot/rubber"', '"robot/glass"'), "of robot/glass, which is not in the scene"),
        (("value = 0.5", "value = 5"), "it must be a number from 0 to 1, or a range"),
        (('"capsule"', '"cone"'), "shape is 'cone'; it must be one of box, sphere, capsule"),
        (("count = [0, 2]", "count = [0, 1.5]"), "count is [0, 1.5]; it must be whole numbers"),
        (("count = [0, 2]", "count = [0, 9]"), "it must be a number from 0 to 8, or a range"),
        (("[[0.01, 0.01, 0.03]", "[[0.01, 0.03]"), "half lengths [x, y, z] in metres, or two"),
        (("[-0.2, 0.0, 0.05]", '[0, 0, 0]\ncollision = "no"'), "it must be true or false"),
        (('name = "robot"', 'name = "a/b"'), "it must be letters, digits, _ and -"),
        (("[floor]", '[backgrounds]\nfolder = "pictures"\n[floor]'), "a folder of pictures; "),
        (("[floor]", '[backgrounds]\nfolder = ".."\n[floor]'), "inside "),
        (('name = "robot"', 'name = "floor"'), "a name of its own, other than floor, object, occ"),
        (("[floor]", '[backgrounds]\nfolder = "."\n[floor]'), "holds 0 pictures (.jpg, "),
    ],
)  # fmt: skip
def test_wrong_values_are_named(refused, edit, message):
    assert message in refused(edit)


def test_a_model_on_the_floor_needs_one(refused):
    message = refused(
        ("0.05]\njoints", "0.05]\non_floor = true\njoints"),
        ("[floor]", ""),
        ("height = [-0.01, 0.01]", ""),
    )
    assert "a model is on_floor, and the scene has no [floor]" in message


def test_a_scene_that_always_penetrates_names_the_bodies(refused):
    message = refused(
        ("[-0.2, 0.0, 0.05]", "[0.05, 0.0, 0.05]"), ("radius = 0.1", "radius = 0.01"), sample=True
    )
    assert "state without penetration in 2000 draws; in" in message and "penetrates" in message
    assert "object" in message and "collision = false for a model that is concave" in message


def test_hand_and_scene_exclude_each_other():
    assert reference_of("none", "a.toml") == "scene:a.toml" and reference_of("leap", "") == "leap"
    for hand, scene in (("none", ""), ("shadow", "a.toml")):
        with pytest.raises(InputError, match="give --hand none and --scene FILE, or neither"):
            reference_of(hand, scene)


def test_missing_files_and_meshes_are_named(tmp_path):
    with pytest.raises(InputError, match=r"no scene .*; give a TOML file, an MJCF or a URDF"):
        scenery(tmp_path / "no.toml")
    path = tmp_path / "r.urdf"
    path.write_text(
        '<robot name="r"><link name="a"><visual><geometry><mesh filename="package://p/a.stl"/>'
        "</geometry></visual></link></robot>"
    )
    with pytest.raises(InputError, match=r"r\.urdf refers to .*a\.stl, which does not exist; put"):
        load_scene("block", f"scene:{path}")
    path.write_text("<robot")
    with pytest.raises(InputError, match="not valid XML"):
        load_scene("block", f"scene:{path}")
    scene = tmp_path / "s.toml"
    scene.write_text("[volume\n")
    with pytest.raises(InputError, match="is not valid TOML"):
        scenery(scene)
    slide = tmp_path / "s.xml"
    slide.write_text(
        "<mujoco><worldbody><body><joint name='rail' type='slide'/><geom size='.1'/></body>"
        "</worldbody></mujoco>"
    )
    with pytest.raises(InputError, match=r"joint rail has no limits; state its range"):
        load_scene("block", f"scene:{slide}")


def test_models_whose_files_a_copy_cannot_tell_apart_are_refused(tmp_path, monkeypatch):
    elsewhere = tmp_path / "assets"
    monkeypatch.setenv("OPENDACTYL_ASSETS", str(elsewhere))
    folders = {"robot": tmp_path / "scene", "table": elsewhere}
    for number, (name, folder) in enumerate(folders.items(), 1):
        (folder / "meshes").mkdir(parents=True)
        (folder / "LICENSE").write_text(name)
        (folder / "LICENSES").mkdir()
        trimesh.creation.box(extents=3 * [0.1 * number]).export(folder / "meshes/base.stl")
        (folder / f"{name}.urdf").write_text(
            f'<robot name="{name}"><link name="a"><visual><geometry><mesh '
            'filename="meshes/base.stl"/></geometry></visual></link></robot>'
        )
    path = tmp_path / "scene/scene.toml"
    models = [f'[[model]]\nfile = "{file}"\n' for file in ("robot.urdf", "table.urdf")]
    path.write_text("\n".join(models))
    with pytest.raises(InputError, match=r"base\.stl and .*base\.stl would both be meshes/base"):
        _ = scenery(path).checksums
    (elsewhere / "meshes").rename(elsewhere / "other")
    urdf = elsewhere / "table.urdf"
    urdf.write_text(urdf.read_text().replace("meshes/", "other/"))
    scene = scenery(path)
    names = scene.checksums.identity["files"]
    assert {"meshes/base.stl", "other/base.stl", "LICENSE", "LICENSE.table"} <= set(names)
    store_copy(scene, tmp_path / "copy")
    monkeypatch.delenv("OPENDACTYL_ASSETS")
    assert scenery(tmp_path / "copy/scene/scene.toml").identity == scene.identity
