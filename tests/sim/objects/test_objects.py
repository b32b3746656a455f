import mujoco
import numpy as np
import pytest

from opendactyl.geometry.rotation import quat_to_matrix
from opendactyl.sim.hands.shipped import hand_spec
from opendactyl.sim.initial_states import is_held, settled_state
from opendactyl.sim.object_geoms import OBJECT_BODY
from opendactyl.sim.objects.shipped import OBJECTS, object_spec
from opendactyl.sim.objects.spec import ObjectSpec
from opendactyl.sim.scene import Scene, load_scene, scene_spec
from opendactyl.sim.state import State


def corners_of(model: mujoco.MjModel, name: str):
    """The corners (K, 3) of a box or mesh geom in its body's frame."""
    geom = model.geom(name)
    if geom.type[0] == mujoco.mjtGeom.mjGEOM_BOX:
        signs = np.array(np.meshgrid(*[[-1, 1]] * 3)).reshape(3, -1).T
        local = signs * geom.size
    else:
        mesh = model.mesh(int(geom.dataid[0]))
        local = model.mesh_vert[int(mesh.vertadr[0]) :][: int(mesh.vertnum[0])]
    return local @ quat_to_matrix(geom.quat).T + geom.pos


def test_mass_and_inertia_of_the_prism():
    body = load_scene("prism").model.body(OBJECT_BODY)
    # A regular octagon of width w across flats has the area 2 (sqrt 2 - 1) w²: 24.157 cm² here,
    # times 66 mm and 421 kg/m³.
    assert body.mass[0] == pytest.approx(0.067123, rel=1e-4)
    # About its axis: m R² / 2 · (1 - 2/3 sin²(180° / 8)) with R = w / (2 cos 22.5°).
    radius = 0.027 / np.cos(np.pi / 8)
    axial = 0.067123 * radius**2 / 2 * (1 - 2 / 3 * np.sin(np.pi / 8) ** 2)
    # Perpendicular to it: half of that plus m L² / 12.
    across = axial / 2 + 0.067123 * 0.066**2 / 12
    expected = sorted([axial, across, across])
    assert sorted(body.inertia) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("name", OBJECTS)
def test_plates_cover_the_core(name):
    model = scene_spec(name).compile()
    core = corners_of(model, "object:core")
    for number, face in enumerate(object_spec(name).faces):
        normal, distance = face.frame[:3, 2], face.frame[:3, 3] @ face.frame[:3, 2]
        assert np.max(core @ normal) < distance - 3e-4  # not coplanar, which would flicker
        plate = corners_of(model, f"object:face{number}")
        assert np.max(plate @ normal) == pytest.approx(distance, abs=1e-6)


@pytest.mark.parametrize("name", sorted(set(OBJECTS) - {"face-cube"}))
def test_faces_differ_in_letter_and_colour(name):
    faces = object_spec(name).faces
    assert len({face.letter for face in faces}) == len(faces)
    colours = np.array([face.rgb for face in faces])
    distances = np.linalg.norm(colours[:, None] - colours[None], axis=-1)
    assert np.min(distances[~np.eye(len(faces), dtype=bool)]) > 0.1


def test_physics_scene_has_no_visual_elements():
    model = load_scene().model
    assert [model.mesh(i).name for i in range(model.nmesh)] == [f"{hand_spec().prefix}forearm_cvx"]
    assert model.ntex == 0 and model.ncam == 0 and model.nlight == 0


def test_tendons_couple_the_last_two_joints_of_each_finger(scene):
    model = scene.model
    assert model.ntendon == 4
    data = mujoco.MjData(model)
    scene.set_state(data, _open_hand(scene))
    data.ctrl[:] = scene.actuator_range[:, 1]
    mujoco.mj_step(model, data, nstep=60)
    for finger in ("FF", "MF", "RF", "LF"):
        middle, last = (data.joint(f"{hand_spec().prefix}{finger}J{k}").qpos[0] for k in (1, 0))
        # Moment arms of 8.05 mm at the middle joint and 7.05 mm at the last, with 1 mm of slack.
        assert abs(0.00805 * middle - 0.00705 * last) < 0.0012
        assert last > 0.3


def test_visual_geoms_do_not_change_the_dynamics():
    ends = []
    for visual in (True, False):
        scene = Scene.compile(scene_spec(visual=visual), "block")
        data = mujoco.MjData(scene.model)
        scene.set_state(data, _open_hand(scene))
        data.ctrl[:] = scene.actuator_range.mean(axis=1)
        mujoco.mj_step(scene.model, data, nstep=50)
        ends.append(data.qpos.copy())
    np.testing.assert_allclose(ends[0], ends[1], atol=1e-9)


@pytest.mark.parametrize("name", OBJECTS)
def test_object_comes_to_rest_on_the_open_hand(name):
    scene = load_scene(name)
    data = mujoco.MjData(scene.model)
    scene.set_state(data, _open_hand(scene))
    mujoco.mj_step(scene.model, data, nstep=250)
    before = scene.state(data.qpos).position
    mujoco.mj_step(scene.model, data, nstep=125)
    after = scene.state(data.qpos).position
    bodies = scene.model.geom_bodyid
    touching = [c for c in data.contact if np.isin(bodies[c.geom], scene.object_bodies).sum() == 1]
    assert touching and all(contact.dist > -5e-4 for contact in touching)
    assert np.linalg.norm(after - before) < 0.003
    assert after[2] > hand_spec().drop_height
    assert is_held(scene, data.qpos)


def test_settled_states_have_every_face_upwards(scene):
    faces = np.stack([face.frame[:3, 2] for face in object_spec("block").faces])
    upper = {
        int(np.argmax((faces @ quat_to_matrix(state.quaternion).T)[:, 2]))
        for state in (settled_state(scene, np.random.default_rng(seed)) for seed in range(60))
    }
    assert upper == set(range(6))


def test_new_convex_solid_is_one_entry_in_objects(monkeypatch):
    prism = object_spec("prism")
    brick = ObjectSpec("brick", 0.06, prism.corners * 0.9, prism.faces[:3], is_box=False)
    monkeypatch.setitem(OBJECTS, "brick", brick)
    state = settled_state(load_scene("brick"), np.random.default_rng(0))
    assert state.position[2] > hand_spec().drop_height
    assert scene_spec("brick").compile().geom("object:face2").id >= 0


def _open_hand(scene: Scene) -> State:
    joints = np.clip(0.0, *scene.joint_range.T)
    return State(joints, np.array([0.0, 0.0, 0.03]), np.array([1.0, 0.0, 0.0, 0.0]))
