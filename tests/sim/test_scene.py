import mujoco
import numpy as np
import pytest

from opendactyl.core.errors import InputError
from opendactyl.geometry.rotation import geodesic_angle, random_quat
from opendactyl.sim.hands.shipped import hand_spec
from opendactyl.sim.initial_states import MAX_PENETRATION, is_held, random_state, settled_state
from opendactyl.sim.object_geoms import OBJECT_BODY
from opendactyl.sim.objects.letters import STROKES, letter_boxes
from opendactyl.sim.objects.shipped import OBJECTS, object_spec
from opendactyl.sim.scene import Scene, load_scene, scene_spec
from opendactyl.sim.state import State
from opendactyl.sim.timing import CONTROL_PERIOD, TIMESTEP


def test_names_are_in_the_order_of_the_model(scene):
    model = scene.model
    joints = [model.joint(i).name.removeprefix("robot0:") for i in range(24)]
    assert tuple(joints) == scene.hand.joints
    actuators = [model.actuator(i).name for i in range(model.nu)]
    assert actuators == [f"robot0:{name}" for name in scene.hand.actuators]


def test_mass_and_inertia_of_the_block(scene):
    body = scene.model.body(OBJECT_BODY)
    assert body.mass[0] == pytest.approx(0.078)
    # A cube's moment of inertia is m a² / 6.
    assert body.inertia == pytest.approx([0.078 * 0.057**2 / 6] * 3)


def test_control_period_and_time_step():
    assert pytest.approx(0.08) == CONTROL_PERIOD
    assert load_scene().model.opt.timestep == TIMESTEP


def test_hand_frame_has_x_along_the_fingers_and_z_up(scene):
    data = mujoco.MjData(scene.model)
    mujoco.mj_forward(scene.model, data)
    tips = scene.fingertips(data.site_xpos)
    assert np.all(tips[:4, 0] > 0.08)
    pose = scene.hand.frame.world_from_hand
    assert pose[:3, 2] == pytest.approx([0, 0, 1])
    assert np.linalg.det(pose[:3, :3]) == pytest.approx(1)


@pytest.mark.parametrize("shape", [(), (5,), (3, 1, 2)])
def test_hand_frame_round_trip(shape):
    rng = np.random.default_rng(0)
    position, quat = rng.normal(size=(*shape, 3)), random_quat(rng, shape)
    frame = hand_spec().frame
    back, orientation = frame.to_hand(*frame.to_world(position, quat))
    np.testing.assert_allclose(back, position, atol=1e-12)
    assert np.max(geodesic_angle(orientation, quat)) < 1e-7


def test_state_round_trip(scene):
    rng = np.random.default_rng(1)
    low, high = scene.joint_range.T
    state = State(rng.uniform(low, high), np.array([0.01, -0.02, 0.05]), random_quat(rng))
    for back in (scene.state(scene.qpos(state)), State.from_dict(state.to_dict())):
        np.testing.assert_allclose(back.joints, state.joints)
        np.testing.assert_allclose(back.position, state.position, atol=1e-12)
        np.testing.assert_allclose(back.quaternion, state.quaternion, atol=1e-12)


@pytest.mark.parametrize("name", OBJECTS)
def test_settled_states_are_held_and_reproducible(name):
    scene = load_scene(name)
    states = [settled_state(scene, np.random.default_rng(seed)) for seed in range(5)]
    again = settled_state(scene, np.random.default_rng(3))
    np.testing.assert_array_equal(again.joints, states[3].joints)
    np.testing.assert_array_equal(again.position, states[3].position)
    assert all(is_held(scene, scene.qpos(state)) for state in states)


def test_random_states_have_no_penetration(scene):
    data = mujoco.MjData(scene.model)
    for seed in range(10):
        scene.set_state(data, random_state(scene, np.random.default_rng(seed)))
        depth = [
            -c.dist for c in data.contact if scene.object_body in scene.model.geom_bodyid[c.geom]
        ]
        assert max(depth, default=0.0) <= MAX_PENETRATION


@pytest.mark.parametrize("name", OBJECTS)
def test_objects_are_convex_and_letters_fit_on_faces(name):
    obj = object_spec(name)
    for body, face in [(b, face) for b in obj.bodies for face in b.faces]:
        normal, centre = face.frame[:3, 2], face.frame[:3, 3]
        assert np.all(body.hull_points @ normal <= centre @ normal + 1e-9)
        if not face.letter:
            continue
        boxes = letter_boxes(face.letter, face.half_size)
        reach = np.abs(boxes[:, :2]).max(axis=1) + boxes[:, 2]
        assert np.all(reach < np.linalg.norm(face.half_size))


@pytest.mark.parametrize("letter", STROKES)
@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_letters_have_no_rotational_symmetry(letter, degrees):
    strokes = np.array(STROKES[letter], dtype=float)
    rotation = np.linalg.matrix_power(np.array([[0.0, -1.0], [1.0, 0.0]]), degrees // 90)

    def segments(ends):
        return {tuple(np.round(np.sort(pair, axis=0).ravel(), 6) + 0.0) for pair in ends}

    ends = strokes.reshape(-1, 2, 2)
    assert segments(ends) != segments(ends @ rotation.T)


def test_new_box_is_one_entry_in_objects(monkeypatch):
    slab = object_spec("block")
    scaled = type(slab)("slab", 0.05, slab.corners * [1, 1, 0.6], slab.faces, is_box=True)
    monkeypatch.setitem(OBJECTS, "slab", scaled)
    scene = Scene.compile(scene_spec("slab"), "slab")
    assert scene.model.body(OBJECT_BODY).mass[0] == pytest.approx(0.05)


def test_unknown_object_lists_the_known_ones():
    with pytest.raises(InputError, match="block, face-cube, prism"):
        object_spec("ball")
