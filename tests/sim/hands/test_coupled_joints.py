"""Joints that follow others: never actuated or drawn, and where their leaders put them."""

import shutil
from pathlib import Path

import mujoco
import numpy as np
import pytest

from opendactyl.core.errors import InputError
from opendactyl.geometry.rig import Rig, load_rig
from opendactyl.render.appearance.config import PRESETS
from opendactyl.render.appearance.sampling import sample_appearance
from opendactyl.render.factory import make_renderer
from opendactyl.sim.initial_states import random_state, settled_state
from opendactyl.sim.objects.shipped import object_spec
from opendactyl.sim.scene import load_scene
from opendactyl.sim.state import State

HANDS = Path(__file__).parents[2] / "hands"
GRIPPER = str(HANDS / "gripper.toml")
UPRIGHT = np.array([1.0, 0.0, 0.0, 0.0])


@pytest.fixture(scope="module")
def gripper():
    return load_scene("block", GRIPPER)


@pytest.fixture
def edited(tmp_path):
    """The gripper with an edited URDF, or TOML file."""

    def edit(*urdf, toml=("", "")):
        for name, changes in (("gripper.urdf", urdf), ("gripper.toml", [toml])):
            text = (HANDS / name).read_text()
            for old, new in changes:
                assert old in text
                text = text.replace(old, new, 1)
            (tmp_path / name).write_text(text)
        return load_scene("block", str(tmp_path / "gripper.toml"))

    return edit


def test_leaders_keep_their_followers_within_their_limits(gripper):
    """A tip of 0.8 q + 0.1 within [-0.6, 0.9] needs q within [-0.875, 1]; a base has -0.5 to 1.2.

    The second base also leads the third, whose tip has the same limits.
    """
    assert gripper.model.nu == 2
    assert gripper.couplings.describe("mount/").startswith("one_tip (of one_base), ")
    np.testing.assert_allclose(gripper.actuator_range, [[-0.5, 1.0]] * 2)
    np.testing.assert_allclose(gripper.joint_range[[0, 2]], [[-0.5, 1.0]] * 2)


def test_states_are_consistent(gripper):
    for draw in (random_state, settled_state):
        for seed in range(3):
            state = draw(gripper, np.random.default_rng(seed))
            one, one_tip, two, two_tip = state.joints
            np.testing.assert_allclose([one_tip, two_tip], [0.8 * one + 0.1, 0.8 * two + 0.1])
            names = [f"mount/{name}" for name in ("three_base", "three_tip")]
            others = [gripper.qpos(state)[gripper.model.joint(n).qposadr[0]] for n in names]
            np.testing.assert_allclose(others, [two, 0.8 * two + 0.1])


def test_the_simulation_drives_the_followers(gripper):
    data, rng, worst = mujoco.MjData(gripper.model), np.random.default_rng(0), 0.0
    gripper.set_state(data, State(np.zeros(4), np.array([0.0, 0.0, 0.03]), UPRIGHT))
    for _ in range(8):
        data.ctrl[:] = rng.uniform(*gripper.actuator_range.T)
        mujoco.mj_step(gripper.model, data, nstep=50)
        worst = max(worst, np.abs(gripper.couplings.enforce(data.qpos) - data.qpos).max())
    assert worst < 0.03
    # At rest and without an object.
    gripper.set_state(data, State(np.zeros(4), np.array([0.0, 0.0, -5.0]), UPRIGHT))
    data.ctrl[:] = 0.9
    mujoco.mj_step(gripper.model, data, nstep=125)
    tips = data.qpos[[gripper.model.joint(f"mount/{n}_tip").qposadr[0] for n in ("one", "three")]]
    np.testing.assert_allclose(tips, 0.8 * 0.9 + 0.1, atol=0.05)


@pytest.mark.parametrize("kind", ["classic", "filament"])
def test_pictures_show_followers_where_their_leaders_put_them(kind):
    appearance = sample_appearance(
        np.random.default_rng(0), PRESETS["calibrated"], views=1, obj=object_spec("block")
    )
    rig, away = Rig("one", load_rig("dactyl-200").cameras[:1]), np.array([0.0, 0.0, -5.0])
    with make_renderer(kind, rig=rig, hand=GRIPPER, image_size=48) as renderer:
        images = [
            renderer.render(State(np.array(joints), away, UPRIGHT), appearance)
            for joints in ([0.5, 0.5, -0.3, -0.14], [0.5, 9.9, -0.3, 9.9], [-0.5, 0.5, 0.9, -0.14])
        ]
    np.testing.assert_array_equal(images[0], images[1])
    assert (images[0] != images[2]).any(axis=-1).mean() > 0.02


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('joint="one_base"', 'joint="elbow"', "one_tip (revolute) mimics 'elbow'; only a joint"),
        ('joint="one_base"', 'joint="one_tip"', "mimics 'one_tip'; only a joint that is revolute"),
        ('joint="one_base"', 'joint="three_tip"', None),
        ('multiplier="0.8" offset="0.1"', 'offset="3"', "is never within its limits, -0.6 to 0.9"),
    ],
)
def test_wrong_mimics_are_named(edited, old, new, message):
    if message is None:  # a longer chain is no mistake
        assert edited((old, new)).couplings.names["mount/one_tip"] == "mount/three_tip"
        return
    with pytest.raises(InputError) as caught:
        edited((old, new))
    assert message in str(caught.value) and "gripper.urdf" in str(caught.value)


def test_followers_are_not_actuated_and_circles_are_refused(edited):
    actuators = ('actuators = ["one_base", "two_base"]', 'actuators = ["one_base", "two_tip"]')
    with pytest.raises(InputError, match="moves joint mount/two_tip, which follows mount/two_base"):
        edited(toml=actuators)
    circle = '<mimic joint="two_base"/>', '<mimic joint="three_tip"/>'
    with pytest.raises(InputError, match=r"follow each other in a circle; remove one"):
        edited(circle)
    endless = '<joint name="one_base" type="revolute">', '<joint name="one_base" type="continuous">'
    assert edited(endless).actuator_range[0, 1] == 1.0
    alone = ('<mimic joint="one_base" multiplier="0.8" offset="0.1"/>', "")
    with pytest.raises(InputError, match=r"joint one_base of .* has no limits, and servos"):
        edited(endless, alone)


def test_an_mjcf_couples_joints_by_polynomials(tmp_path):
    """`<equality><joint>` counts from the positions of the model, and may fix a joint."""
    for name in ("claw.toml", "claw.xml"):
        shutil.copyfile(HANDS / name, tmp_path / name)
    path = tmp_path / "claw.xml"
    text = path.read_text().replace('<position name="c_m2" joint="c_one_tip"/>', "")
    text = text.replace(
        "<actuator>",
        '<equality><joint joint1="c_one_tip" joint2="c_one_base" polycoef="0.1 0.5 0.25 0 0"/>'
        '<joint joint1="c_two_tip" polycoef="0.3"/></equality><actuator>',
    ).replace('name="c_one_base"', 'name="c_one_base" ref="0.2"')
    path.write_text(text)
    toml = (tmp_path / "claw.toml").read_text()
    (tmp_path / "claw.toml").write_text(toml.replace('"m1", "m2",', '"m1",'))
    scene = load_scene("block", str(tmp_path / "claw.toml"))
    joints = random_state(scene, np.random.default_rng(0)).joints
    moved = joints[0] - 0.2
    np.testing.assert_allclose(joints[[1, 3]], [0.1 + 0.5 * moved + 0.25 * moved**2, 0.3])


def test_servos_and_ranges_are_in_radians_whatever_the_file_has(tmp_path):
    text = (HANDS / "claw.xml").read_text().replace('angle="radian"', 'angle="degree"')
    (tmp_path / "claw.xml").write_text(text.replace('range="-0.5 1.2"', 'range="-30 60"', 1))
    toml = (HANDS / "claw.toml").read_text().replace('"m1", "m2", "m3", "m4"', '"one_base"')
    (tmp_path / "claw.toml").write_text(toml + "[servo]\nkp = 1.0\n")
    scene = load_scene("block", str(tmp_path / "claw.toml"))
    np.testing.assert_allclose(scene.actuator_range, [[-np.pi / 6, np.pi / 3]])
