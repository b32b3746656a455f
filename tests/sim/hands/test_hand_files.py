"""Hands from TOML files: names, orders, servos, couplings, frames, identity."""

import re
import shutil
from pathlib import Path

import mujoco
import numpy as np
import pytest
import trimesh

from opendactyl.core.errors import InputError
from opendactyl.geometry.rig import load_rig
from opendactyl.render.meshes.landmarks import landmarks, static_triangles
from opendactyl.sim.assets.storage import check_stored, is_same, store_copy, stored_reference
from opendactyl.sim.hands.load import load_hand
from opendactyl.sim.hands.shipped import HANDS, hand_spec
from opendactyl.sim.initial_states import is_held, settled_state
from opendactyl.sim.scene import load_scene, scene_spec
from opendactyl.sim.state import State

HANDS_OF_TESTS = Path(__file__).parents[2] / "hands"
CLAW = str(HANDS_OF_TESTS / "claw.toml")


@pytest.fixture
def claw_copy(tmp_path):
    return Path(shutil.copytree(HANDS_OF_TESTS, tmp_path / "hands")) / "claw.toml"


def test_the_file_of_the_default_hand_gives_the_values_that_were_once_python():
    """Bit for bit: states, labels, weights and checksums depend on them."""
    hand = hand_spec()
    assert next(iter(HANDS)) == hand.name == hand.reference == "shadow" and hand.identity is None
    assert (len(hand.joints), len(hand.actuators), len(hand.fingertips)) == (24, 20, 5)
    assert hand.joints[:3] == ("WRJ1", "WRJ0", "FFJ3") and hand.joints[-1] == "THJ0"
    assert [tip.name for tip in hand.fingertips][-1] == "S_thtip"
    pose = np.array(
        [[0.0, 1.0, 0.0, 1.0], [-1.0, 0.0, 0.0, 0.87], [0.0, 0.0, 1.0, 0.17], [0.0, 0.0, 0.0, 1.0]]
    )
    assert hand.frame.world_from_hand.tobytes() == pose.tobytes()
    assert (hand.drop_height, hand.object_positions[1]) == (-0.13, (0.05, 0.03, 0.08))
    assert hand.nails[0].tolist() == [0.0, 0.007, -0.01]
    assert hand.landmarks.shape == (10, 3) and hand.landmarks[-1].tolist() == [-0.15, 0.0, -0.098]
    assert hand.backlash_exponents[:, 7].tolist() == [1.92, 1.44]


def test_the_transmission_of_the_default_hand_is_one_joint_each(scene):
    assert scene.transmission.joints.shape == (20, 1) and (scene.transmission.weights == 1).all()
    qpos = np.random.default_rng(0).normal(size=(3, scene.model.nq))
    addresses = scene.model.jnt_qposadr[scene.model.actuator_trnid[:, 0]]
    np.testing.assert_array_equal(scene.actuated(qpos), qpos[:, addresses])


def test_a_users_hand_is_compiled_in_the_order_of_its_file_and_holds_an_object():
    scene = load_scene("block", CLAW)
    assert scene.model.nu == 4  # the spare actuator is not listed
    assert scene.model.opt.impratio == 5 and scene.model.opt.timestep == 0.008
    # Joint three_tip counts half in the tendon; the hand lists it before three_base.
    assert scene.transmission.to_dict(scene.hand)["m4"] == {"three_base": 1.0, "three_tip": 0.5}
    joints = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    np.testing.assert_allclose(scene.transmission(joints), [1, 2, 3, 6 + 0.5 * 5])
    state = settled_state(scene, np.random.default_rng(0))
    assert is_held(scene, scene.qpos(state)) and state.joints.shape == (6,)
    data = mujoco.MjData(scene.model)
    scene.set_state(data, State(np.zeros(6), np.array([0.0, 0.0, 1.0]), np.array([1.0, 0, 0, 0])))
    tips = scene.fingertips(data.site_xpos)
    # The third is a point of a body, at which a site was added; fingers two and three are mirrored.
    np.testing.assert_allclose(tips[2], tips[1] * [1, -1, 1], atol=1e-9)


def test_actuators_reach_the_sums_that_they_control():
    scene = load_scene("block", CLAW)
    data, away = mujoco.MjData(scene.model), np.array([0.0, 0.0, -5.0])
    scene.set_state(data, State(np.zeros(6), away, np.array([1.0, 0, 0, 0])))
    data.ctrl[:] = [0.5, -0.3, 0.4, 0.9]
    mujoco.mj_step(scene.model, data, nstep=125)
    np.testing.assert_allclose(scene.actuated(data.qpos), data.ctrl, atol=0.05)


def test_geoms_are_shown_or_hidden_and_share_a_material():
    model = scene_spec("block", CLAW).compile()
    shown = np.flatnonzero(model.geom_group == 1)
    assert {model.mat(model.geom_matid[g]).name for g in shown} == {"hand"}
    # Two plates, one visual geom of each finger, and the end of each finger, which is visible.
    assert len(shown) == 8
    hidden = [g for g in range(model.ngeom) if model.geom_group[g] == 4]
    assert len(hidden) == 4 + 1  # the object's box, too
    physics = load_scene("block", CLAW).model
    np.testing.assert_allclose(physics.body_mass, model.body_mass)
    np.testing.assert_allclose(physics.body_inertia, model.body_inertia)


def test_landmarks_are_chosen_on_static_bodies_or_given(claw_copy):
    hand, rig = hand_spec(CLAW), load_rig("dactyl-200")
    points = landmarks(hand, rig)
    assert points.shape == (10, 3)
    np.testing.assert_array_equal(points, landmarks(hand, rig))
    # They lie on plate and stand, whose lowest point is 11 cm below the plate's centre.
    assert points[:, 2].min() >= -0.151 and points[:, 2].max() <= -0.03 + 1e-9
    assert np.ptp(static_triangles(hand).reshape(-1, 3), axis=0)[:2] == pytest.approx([0.12, 0.12])
    with claw_copy.open("r+") as file:
        text = file.read()
        file.seek(0)
        file.write("landmarks = [[0.01, 0.02, 0.03]]\n" + text)
    assert landmarks(hand_spec(str(claw_copy)), rig).tolist() == [[0.01, 0.02, 0.03]]


def test_a_copy_of_a_hand_is_the_same_hand(claw_copy, tmp_path):
    hand = hand_spec(str(claw_copy))
    (claw_copy.parent / "LICENSE").write_text("for tests")
    hand = load_hand(claw_copy)
    assert set(hand.identity["files"]) == {"claw.toml", "claw.xml", "LICENSE"}
    store_copy(hand, tmp_path / "run")
    copy = hand_spec(stored_reference(tmp_path / "run", "hand", "claw"))
    assert copy.path == tmp_path / "run/hand/claw.toml" and is_same(copy, hand)
    check_stored(tmp_path / "run", "hand", hand.identity, tmp_path / "manifest.json")
    (tmp_path / "run/hand/claw.xml").write_text("<mujoco/>")
    with pytest.raises(InputError, match=r"claw\.xml is missing, or its checksum"):
        check_stored(tmp_path / "run", "hand", hand.identity, tmp_path / "manifest.json")
    assert not is_same(hand, hand_spec()) and stored_reference(tmp_path, "hand", "x") == "x"


def test_a_changed_file_is_another_hand(claw_copy):
    first = hand_spec(str(claw_copy))
    assert hand_spec(str(claw_copy)) is first
    identity = first.identity
    model = claw_copy.with_suffix(".xml")
    model.write_text(model.read_text().replace('kp="2"', 'kp="3"'))
    assert load_hand(claw_copy).identity != identity


def test_a_hand_whose_files_a_copy_would_not_find_is_refused(tmp_path):
    """`hand.toml` beside a URDF that refers to meshes above it."""
    for folder in ("urdf", "meshes"):
        (tmp_path / folder).mkdir()
    shutil.copy(HANDS_OF_TESTS / "gripper.toml", tmp_path / "urdf")
    trimesh.creation.box([0.01] * 3).export(tmp_path / "meshes/box.stl")
    model, shape = tmp_path / "urdf/gripper.urdf", re.compile(r"<geometry>.*?</geometry>", re.S)
    mesh = '<geometry><mesh filename="../meshes/box.stl"/></geometry>'
    model.write_text(shape.sub(mesh, (HANDS_OF_TESTS / "gripper.urdf").read_text(), count=1))
    hand = load_hand(tmp_path / "urdf/gripper.toml")
    with pytest.raises(InputError, match=r"box\.stl, which is outside of .*OPENDACTYL_ASSETS"):
        _ = hand.identity


def test_a_urdf_is_known_by_its_content(tmp_path):
    """Its geoms have other groups than those of an MJCF, whatever the file's suffix."""
    for name in ("gripper.toml", "gripper.urdf"):
        shutil.copy(HANDS_OF_TESTS / name, tmp_path)
    model, toml = tmp_path / "gripper.xml", tmp_path / "gripper.toml"
    (tmp_path / "gripper.urdf").rename(model)
    toml.write_text(toml.read_text().replace("gripper.urdf", "gripper.xml"))
    renamed, original = (load_scene("block", str(p)) for p in (toml, HANDS_OF_TESTS / toml.name))
    np.testing.assert_array_equal(renamed.model.geom_group, original.model.geom_group)
