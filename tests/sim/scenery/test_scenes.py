"""Scenes without a hand: what their files describe, and the states that are drawn."""

from pathlib import Path

import mujoco
import numpy as np
import pytest
import trimesh

from opendactyl.core.errors import InputError
from opendactyl.geometry.rotation import quat_rotate
from opendactyl.sim.objects.shipped import object_spec
from opendactyl.sim.scene import load_scene
from opendactyl.sim.scene_states import MAX_PENETRATION, SceneStates
from opendactyl.sim.scenery.reference import scenery, surroundings

TABLE = Path(__file__).parents[2] / "scenes/table.toml"
ARM = TABLE.with_name("arm.urdf")
FOLLOWER = """
  <link name="nose"><collision><geometry><sphere radius="0.005"/></geometry></collision></link>
  <joint name="nod" type="revolute">
    <parent link="tip"/><child link="nose"/><origin xyz="0 0 0.1"/><axis xyz="0 1 0"/>
    <limit lower="-1.5" upper="1.5" effort="1" velocity="1"/>
    <mimic joint="bend" multiplier="-0.5" offset="0.1"/>
  </joint>
"""


def sampled(path, count, object_name="block"):
    source = SceneStates(load_scene(object_name, f"scene:{path}"))
    return source, [source.sample(np.random.default_rng(i)) for i in range(count)]


@pytest.fixture(scope="module")
def table():
    return sampled(TABLE, 120)


def joint(source, states, name):
    return np.array([state.joints[source.scene.hand.joints.index(name)] for state in states])


def lowest(state):
    return quat_rotate(state.quaternion, object_spec("block").hull_points)[:, 2].min()


def test_everything_that_moves_is_a_joint(table):
    source, states = table
    names = source.scene.hand.joints
    assert names[:3] == ("floor", "robot/turn", "robot/bend")
    assert names[3:6] == ("occluder/0.0:x", "occluder/0.0:y", "occluder/0.0:z") and len(names) == 15
    assert source.scene.model.nu == 0 and source.scene.hand.fingertips == ()
    turn, bend = (joint(source, states, f"robot/{name}") for name in ("turn", "bend"))
    assert turn.min() < -2.5 and turn.max() > 2.5  # a continuous joint: from -pi to pi
    assert 1 <= bend.min() < 1.1 and 1.9 < bend.max() <= 2  # the range of the scene's file


def test_the_states_have_the_fractions_of_the_file(table):
    source, states = table
    floor = joint(source, states, "floor") - 0.01
    assert floor.min() < -0.008 and floor.max() > 0.008
    bottom = np.array([s.position[2] + lowest(s) for s in states]) - floor
    up = np.array([np.abs(quat_rotate(s.quaternion, np.eye(3))[:, 2]).max() for s in states])
    lying = (np.abs(bottom) < 1e-6) & (up > 1 - 1e-9)
    assert 0.45 < lying.mean() < 0.75
    assert bottom.min() > -MAX_PENETRATION and bottom[~lying].max() > 0.08
    yaw = [np.arctan2(*quat_rotate(s.quaternion, [1.0, 0, 0])[1::-1]) for s in states]
    assert np.ptp(yaw) > 5
    positions = np.array([s.position for s in states])
    assert np.linalg.norm(positions[:, :2] - [0.05, 0], axis=1).max() <= 0.1 + 1e-9
    assert len({np.argmax(np.abs(quat_rotate(s.quaternion, np.eye(3))[:, 2])) for s in states}) == 3


def test_nothing_that_moves_penetrates(table):
    source, states = table
    model = source.scene.model
    data = mujoco.MjData(model)
    object_contacts = 0
    for state in states:
        source.scene.set_state(data, state)
        for contact in data.contact:
            bodies = [model.body(model.geom_bodyid[geom]).name for geom in contact.geom]
            if set(bodies) <= {"floor", "robot", "robot/base", "world"}:
                continue  # the robot's base stands in the floor
            assert contact.dist > -MAX_PENETRATION, bodies
            object_contacts += "object" in bodies
    assert object_contacts  # of lying objects with the floor


def test_occluders_come_and_go(table):
    source, states = table
    heights = np.array([joint(source, states, f"occluder/0.{i}:z") for i in (0, 1)])
    count = (heights > -1).sum(axis=0)
    assert set(count.tolist()) == {0, 1, 2}
    shown = heights[heights > -1]
    assert shown.min() >= 0.05 and shown.max() <= 0.2
    sizes = [source.scene.model.geom(f"occluder/0.{i}").size for i in (0, 1)]
    np.testing.assert_allclose(sizes, [[0.0125, 0.0375, 0], [0.0175, 0.0525, 0]])


def test_a_state_depends_on_the_generator_only(table):
    source, states = table
    again = source.sample(np.random.default_rng(7))
    assert again.to_dict() == states[7].to_dict()


def test_a_model_may_stand_on_the_floor(tmp_path):
    text = TABLE.read_text().replace("[-0.2, 0.0, 0.05]", "[-0.2, 0.0, 0.05]\non_floor = true")
    (tmp_path / "table.toml").write_text(text)
    (tmp_path / "arm.urdf").write_bytes(ARM.read_bytes())
    source, states = sampled(tmp_path / "table.toml", 3)
    data = mujoco.MjData(source.scene.model)
    for state in states:
        source.scene.set_state(data, state)
        height = data.body("robot").xpos[2]
        assert height == pytest.approx(0.04 + joint(source, [state], "floor")[0])


def test_a_urdf_or_an_mjcf_is_a_scene(tmp_path):
    found = scenery(ARM)
    assert found.name == "arm" and found.reference == f"scene:{ARM}"
    source, states = sampled(ARM, 10)
    assert source.scene.hand.joints == ("model/turn", "model/bend")
    assert all(np.linalg.norm(s.position[:2]) <= 0.15 for s in states)
    copied = surroundings(found.reference)
    assert copied.identity == found.identity and set(found.checksums.texts) == {"arm.toml"}
    path = tmp_path / "box.xml"
    path.write_text(
        "<mujoco><worldbody><light/><camera/><body><joint type='slide' range='0 .1'/>"
        "<geom size='.1'/></body></worldbody></mujoco>"
    )
    assert len(load_scene("block", f"scene:{path}").hand.joints) == 1


def test_packages_of_meshes_are_found_above_a_urdf(tmp_path):
    for folder in ("urdf", "meshes"):
        (tmp_path / "robot_description" / folder).mkdir(parents=True)
    trimesh.creation.box([0.1] * 3).export(tmp_path / "robot_description/meshes/box.stl")
    path = tmp_path / "robot_description/urdf/robot.urdf"
    path.write_text(
        '<robot name="r"><link name="a"><visual><geometry><mesh filename='
        '"package://robot_description/meshes/box.stl"/></geometry></visual></link></robot>'
    )
    found = scenery(path)
    assert set(found.checksums.identity["files"]) == {
        "robot.toml", "urdf/robot.urdf", "meshes/box.stl",
    }  # fmt: skip
    load_scene("block", found.reference)
    moved = path.with_name("scene.toml")
    moved.write_text('[[model]]\nfile = "robot.urdf"\n')
    with pytest.raises(InputError, match=r"outside of .*name the model relative to"):
        _ = scenery(moved).checksums


def test_volumes_are_boxes_discs_or_palms(tmp_path):
    path = tmp_path / "s.toml"
    path.write_text('[volume]\nshape = "box"\nlow = [0, 0, 0]\nhigh = [0.1, 0.2, 0.3]\n')
    points = np.array([scenery(path).volume.sample(np.random.default_rng(i)) for i in range(200)])
    assert np.all(points >= 0) and np.all(points <= [0.1, 0.2, 0.3])
    assert np.all(points.max(axis=0) > [0.09, 0.18, 0.27])
    path.write_text(
        '[volume]\nshape = "palm"\nhand = "shadow"\nposition = [1, 0, 0.5]\n[states]\nfree = 1\n'
    )
    found = scenery(path)
    np.testing.assert_allclose(found.object_positions, [[0.97, -0.03, 0.5], [1.05, 0.03, 0.58]])
    disc = scenery(TABLE).volume
    points = np.array([disc.sample(np.random.default_rng(i)) for i in range(400)])
    distance = np.linalg.norm(points[:, :2] - [0.05, 0], axis=1)
    assert distance.max() <= 0.1 and 0.4 < np.mean(distance < 0.1 * np.sqrt(0.5)) < 0.6


def test_overlapping_neighbours_and_free_bodies_of_an_mjcf_are_no_obstacle(tmp_path):
    path = tmp_path / "robot.xml"
    path.write_text(
        '<mujoco><option cone="elliptic" impratio="10"/><worldbody>'
        '<body name="ball" pos="0 0 0.5"><freejoint/><geom size="0.01"/></body>'
        '<body name="a" pos="-0.3 0 0.3"><joint name="one" range="-1 1" axis="0 0 1"/>'
        '<geom type="box" size="0.05 0.05 0.05"/>'
        '<body name="b"><joint name="two" range="-1 1" axis="0 0 1"/><geom size="0.01"/>'
        '<body name="c"><joint name="three" range="-1 1" axis="0 0 1"/><geom size="0.03"/>'
        "</body></body></body></worldbody>"
        '<actuator><motor joint="one"/></actuator></mujoco>'
    )
    source, states = sampled(path, 5)  # c is inside a, and not its neighbour
    assert source.scene.hand.joints == ("model/one", "model/two", "model/three")
    assert source.scene.model.nu == 0 and len({state.joints[0] for state in states}) == 5
    data = mujoco.MjData(source.scene.model)
    source.scene.set_state(data, states[0])
    np.testing.assert_allclose(data.body("model/ball").xpos, [0, 0, 0.5])


def test_joints_that_follow_others_are_not_drawn(tmp_path):
    text = ARM.read_text().replace("</joint>\n</robot>", "</joint>\n" + FOLLOWER + "</robot>")
    (tmp_path / "arm.urdf").write_text(text)
    (tmp_path / "table.toml").write_text(TABLE.read_text().replace("bend = ", '"*n*d" = '))
    source, states = sampled(tmp_path / "table.toml", 3)
    assert source.scene.hand.joints[:4] == ("floor", "robot/turn", "robot/bend", "occluder/0.0:x")
    for state in states:
        nod = source.scene.qpos(state)[source.scene.model.joint("robot/nod").qposadr[0]]
        assert nod == pytest.approx(0.1 - 0.5 * joint(source, [state], "robot/bend")[0])
    (tmp_path / "table.toml").write_text(TABLE.read_text().replace("bend = ", "nod = "))
    with pytest.raises(InputError, match="joint nod follows bend; only other joints have ranges"):
        sampled(tmp_path / "table.toml", 1)


def test_ranges_are_in_radians_whatever_the_file_has(tmp_path):
    (tmp_path / "robot.xml").write_text(
        '<mujoco><worldbody><body><joint name="one" range="-90 90"/><geom size=".01"/><body>'
        '<joint name="two"/><geom size=".01"/></body></body></worldbody></mujoco>'
    )
    path = tmp_path / "scene.toml"
    path.write_text('[[model]]\nfile = "robot.xml"\njoints = { one = [-0.5, 1.5] }\n')
    ranges = load_scene("block", f"scene:{path}").joint_range
    np.testing.assert_allclose(ranges, [[-0.5, 1.5], [-np.pi, np.pi]])
