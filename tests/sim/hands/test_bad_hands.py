"""Wrong hand files: one line that says what, where and how to mend it."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from opendactyl.core.errors import InputError
from opendactyl.sim import initial_states
from opendactyl.sim.hands.shipped import hand_spec
from opendactyl.sim.scene import load_scene

HANDS_OF_TESTS = Path(__file__).parents[2] / "hands"
SERVO = "[servo]\nkp = 2.0\n"


@pytest.fixture
def refused(tmp_path):
    """The message about a hand whose files were edited: pairs of old and new text."""

    def check(*edits, model=(), more=""):
        for name, changes in (("claw.toml", edits), ("claw.xml", model)):
            text = (HANDS_OF_TESTS / name).read_text()
            for old, new in changes:
                assert old in text
                text = text.replace(old, new)
            (tmp_path / name).write_text(text + (more if name == "claw.toml" else ""))
        with pytest.raises(InputError) as caught:
            load_scene("block", str(tmp_path / "claw.toml"))
        message = str(caught.value)
        assert "\n" not in message and str(tmp_path) in message
        return message

    return check


def test_states_that_cannot_be_sampled_are_the_hands_fault(monkeypatch):
    scene, rng = load_scene("block", str(HANDS_OF_TESTS / "claw.toml")), np.random.default_rng(0)
    monkeypatch.setattr(initial_states, "_MAX_TRIES", 2)
    monkeypatch.setattr(initial_states, "is_held", lambda *_: False)
    with pytest.raises(InputError, match=r"claw\.toml: the object fell from the palm"):
        initial_states.settled_state(scene, rng)
    monkeypatch.setattr(initial_states, "MAX_PENETRATION", -1.0)
    with pytest.raises(InputError, match=r"claw\.toml: 2 random states all have bodies that over"):
        initial_states.random_state(scene, rng)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (('"one_base"', '"elbow"'), "has no joint 'c_elbow'; it has one_base, one_tip, two_base"),
        (('"m1"', '"motor"'), "has no actuator 'c_motor'; it has m1, m2, m3, spare, m4"),
        (('"one_site"', '"nail"'), "has no site 'c_nail'; it has one_site, two_site"),
        (('"three_end"', '"end"'), "has no body 'c_end'; it has palm, one, one_end"),
        (('"m1", "m2"', '"m2", "m1"'), "list the actuators in the model's order: ['m1', 'm2'"),
        (('"one_base", ', ""), "actuator 'mount/c_m1' moves 'one_base'; add it to joints"),
        (('"claw.xml"', '"no.xml"'), "no.xml is neither in"),
        (("drop_height = -0.1\n", ""), "drop_height is missing; it must be a number"),
        (("drop_height", "colour = 1\ndrop_height"), "unknown key 'colour'; the keys are: name"),
        (('"two_site"', "3"), "it must be a list of sites or of {name, body, position}"),
        (("[1, 0, 0, 0]", "[0, 0, 0, 0]"), "it must be four numbers w, x, y, z of a rotation"),
        (("[0.01, 0.01, 0.06]", "[0.01, -0.01, 0.06]"), "must be the lowest and the highest"),
        (("joints = [", "joints = ["), None),
    ],
)
def test_wrong_values_are_named(refused, edit, message):
    if message is None:
        message = refused(("joints = [", 'joints = ["one_base", '))
        assert "it must be a list of names, each of them once" in message
    else:
        assert message in refused(edit)


def test_what_else_may_be_wrong_is_named(refused):
    assert "x = [1.0, 0.0, 0.0] and z = [1.0, 0.0, 0.0] are not orthogonal" in refused(
        more="[frame]\nx = [1, 0, 0]\nz = [1, 0, 0]\n"
    )
    assert "unknown key 'elbow'; the keys are: one_base" in refused(
        ("[start]", "[start]\njoints = { elbow = 1 }")
    )
    assert "4 numbers, one for each actuator" in refused(
        more="[backlash]\ndown = [1, 2, 3]\nup = [1, 2, 3, 4]\n"
    )
    assert "kp is -1; it must be a positive number" in refused(more="[servo]\nkp = -1\n")
    assert "is not valid TOML" in refused(("joints = [", "joints = "))


def test_a_model_that_cannot_be_used_is_named(refused):
    motor = (
        '<position name="c_m1" joint="c_one_base"/>',
        '<motor name="c_m1" joint="c_one_base"/>',
    )
    assert "'mount/c_m1' is not a position servo" in refused(model=[motor])
    assert "MuJoCo cannot read the model" in refused(model=[("<geom ", "<gem ")])
    assert "is not valid XML" in refused(model=[("</mujoco>", "")])
    assert "begins with <sdf>" in refused(model=[("mujoco", "sdf")])
    massless = [('<geom type="capsule" size="0.008 0.015" pos="0 0 0.02"/>', "")]
    assert "MuJoCo cannot compile" in refused(model=massless)
    plate = '<geom name="c_plate" class="shown" type="mesh" mesh="plate"/>'
    mesh = [('<material name="steel"/>', '<mesh name="plate" file="plate.obj"/>'),
            ('<geom name="c_plate" class="shown" type="box" size="0.06 0.06 0.01" '
             'material="steel"/>', plate)]  # fmt: skip
    assert "plate.obj, which does not exist; put it there" in refused(model=mesh)


def test_joints_need_limits_and_exclusions_have_no_prefix(refused):
    free = [('name="c_one_base"', 'name="c_one_base" limited="false"')]
    assert "joint c_one_base of the model has no limits" in refused(model=free)
    message = refused(("[model]\n", '[model]\nexclude = [["nosuch", "palm"]]\n'))
    assert "has no body 'c_nosuch'; it has palm" in message


def test_a_hand_without_actuators_needs_servos(refused, tmp_path):
    text = (HANDS_OF_TESTS / "claw.xml").read_text()
    actuators = text[text.index("  <actuator>") : text.index("  <keyframe>")]
    message = refused(model=[(actuators, "")])
    assert "has no actuators; add [servo] with kp, which adds position servos" in message
    path = tmp_path / "claw.toml"
    names = path.read_text().replace('"m1", "m2", "m3", "m4"', '"one_base", "two_tip"')
    path.write_text(names + SERVO + "force = 0.5\n")
    model = load_scene("block", str(path)).model
    assert model.nu == 2 and model.actuator_gainprm[:, 0].tolist() == [2.0, 2.0]
    assert model.actuator_ctrlrange[0].tolist() == [-0.5, 1.2]
    assert model.actuator_forcerange[1].tolist() == [-0.5, 0.5]


def test_missing_assets_are_named_with_the_command_that_gets_them(monkeypatch, tmp_path):
    monkeypatch.delenv("OPENDACTYL_ASSETS", raising=False)
    with pytest.raises(InputError) as caught:
        load_scene("block", "allegro")
    message = str(caught.value)
    assert "hand allegro: allegro/allegro_hand_right_glb.urdf is neither in" in message
    assert "OPENDACTYL_ASSETS (not set); get it with `pip download --no-deps mani-skill" in message
    with pytest.raises(InputError, match=r"no hand 'claw'; give a \.toml file or one of shadow, "):
        hand_spec("claw")
    with pytest.raises(InputError, match=r"cannot read the hand .*no\.toml: No such file"):
        hand_spec(str(tmp_path / "no.toml"))
    shutil.copyfile(HANDS_OF_TESTS / "claw.toml", tmp_path / "shadow.toml")
    with pytest.raises(InputError, match="its name, 'shadow', is that of the default hand"):
        hand_spec(str(tmp_path / "shadow.toml"))


def test_assets_are_found_beside_the_file_and_in_the_folders_of_the_variable(monkeypatch, tmp_path):
    (tmp_path / "models").mkdir()
    shutil.copyfile(HANDS_OF_TESTS / "claw.xml", tmp_path / "models/claw.xml")
    path = tmp_path / "claw.toml"
    shutil.copyfile(HANDS_OF_TESTS / "claw.toml", path)
    monkeypatch.setenv("OPENDACTYL_ASSETS", f"{tmp_path / 'none'}:{tmp_path / 'models'}")
    assert hand_spec(str(path)).asset.path == tmp_path / "models/claw.xml"
    # The file changed, so it is read again; what is beside it comes first.
    path.write_text(path.read_text() + "\n")
    shutil.copyfile(HANDS_OF_TESTS / "claw.xml", tmp_path / "claw.xml")
    assert hand_spec(str(path)).asset.path == tmp_path / "claw.xml"
