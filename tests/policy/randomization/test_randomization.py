import dataclasses
import json

import mujoco
import numpy as np
import pytest
from mujoco.batch import Batch

from opendactyl.core.errors import InputError
from opendactyl.policy.randomization.config import (
    PRESETS,
    load_randomization,
)
from opendactyl.policy.randomization.model_fields import MESH_SIZES, ModelFields, sized_scene
from opendactyl.policy.randomization.physics import sample
from opendactyl.policy.randomization.privileged import episode_parameters
from opendactyl.sim.hands.shipped import hand_spec
from opendactyl.sim.objects.shipped import object_spec
from opendactyl.sim.scene import Scene, scene_spec

LINKS = tuple(f"link{number}" for number in range(26))
NONE = PRESETS["none"]


def sampled(config, seed=0):
    return sample(np.random.default_rng(seed), config, hand_spec(), LINKS)


def many(config, count=300):
    return [sampled(config, seed) for seed in range(count)]


def compiled(object_name, size):
    """The scene compiled with an object of another size."""
    spec, obj = scene_spec(object_name, visual=False), object_spec(object_name)
    geom = spec.geom("object")
    if obj.is_box:
        geom.size = obj.half_extent * size
    else:
        spec.mesh(obj.name).uservert = (obj.corners * size).ravel()
    return Scene.compile(spec, object_name).model


def batch_with(object_name, **changes):
    """Two simulations, the second with `changes` to the nominal physics."""
    scene = sized_scene(object_name)
    batch = Batch(scene.model, 2, 1, persistent=True)
    fields = ModelFields(batch, scene)
    fields.apply(np.array([1]), [dataclasses.replace(sampled(NONE), **changes)])
    return scene, batch, fields


def test_preset_none_is_the_nominal_model():
    physics = sampled(NONE)
    for name in ("object_size", "object_mass", "link_mass", "friction", "joint_damping"):
        assert np.all(getattr(physics, name) == 1), name
    for name in (
        "joint_limits", "gravity", "timestep_extra", "action_bias", "action_scale_offset",
        "backlash",
    ):  # fmt: skip
        assert np.all(getattr(physics, name) == 0), name
    assert (physics.pose_delay, physics.pose_period, physics.pose_injection) == (0, 1, 0.0)
    assert not physics.action_delay.any()


def test_samples_cover_their_ranges():
    samples = many(PRESETS["dactyl"])
    for name, (low, high) in {
        "object_size": (0.95, 1.05), "object_mass": (0.5, 1.5), "link_mass": (0.5, 1.5),
        "friction": (0.7, 1.3), "joint_damping": (0.3, 3.0), "actuator_gain": (0.75, 1.5),
        "force_chance": (0.001, 0.1), "timestep_extra": (1e-4, 8e-4),
    }.items():  # fmt: skip
        values = np.stack([np.asarray(getattr(p, name)) for p in samples])
        assert low <= values.min() < low + 0.1 * (high - low), name
        assert high - 0.2 * (high - low) < values.max() <= high, name
    damping = np.log(np.concatenate([p.joint_damping for p in samples]))
    assert np.median(damping) == pytest.approx(np.log(0.3 * 3.0) / 2, abs=0.03)
    for name, width in (
        ("joint_limits", 0.15), ("gravity", 0.4), ("rotation_offset", 0.1),
        ("action_scale_offset", 0.03),
    ):  # fmt: skip
        values = np.stack([getattr(p, name) for p in samples])
        assert values.std() == pytest.approx(width, rel=0.1), name
        assert values.mean() == pytest.approx(0, abs=width / 8), name
    assert np.mean([p.action_delay for p in samples]) == pytest.approx(0.5, abs=0.03)


def test_the_loguniform_preset_samples_what_dactyl_did_before_its_backlash_was_calibrated():
    """Sums over the fields of one sample, computed by that version."""
    physics = sampled(PRESETS["dactyl-loguniform"], 7)
    before = {
        "object_size": 0.9800166284911225, "object_mass": 1.373553445396262,
        "link_mass": 25.68392672820693, "friction": 0.7070764153255035,
        "joint_damping": 25.343999498474417, "actuator_gain": 22.248406682713554,
        "joint_limits": -0.8248645674085548, "gravity": -1.1588538852625796,
        "timestep_extra": 0.00014881870688063296, "action_bias": -0.02001816929756756,
        "action_delay": 8, "backlash": 1111.5251921513657,
        "force_chance": 0.051052632680451564, "fingertip_offset": -0.004421609012543971,
        "fingertip_marker": 0.003317814678216924, "position_offset": 0.004718136791488872,
        "rotation_offset": -0.11668603711873116, "joint_offset": -0.12342704594743231,
        "pose_delay": 0, "pose_period": 1, "pose_injection": 0,
    }  # fmt: skip
    now = {name: np.sum(value) for name, value in vars(physics).items()}
    # These were not sampled then.
    before |= {"strength": 1, "action_scale_offset": 0, "action_noise": 0.05, "action_scale": 0.015}
    before |= {"joint_armature": 24, "joint_friction": 0, "actuator_delay": 0}
    assert now == pytest.approx(before, rel=1e-9)


def test_equal_generators_sample_equal_physics_that_json_can_store():
    first, again = sampled(PRESETS["vision"], 4), sampled(PRESETS["vision"], 4)
    assert json.dumps(first.to_dict()) == json.dumps(again.to_dict())
    assert first.to_dict() != sampled(PRESETS["vision"], 5).to_dict()


@pytest.mark.parametrize("object_name", ["block", "prism"])
def test_sizes_equal_those_of_a_compiled_model(object_name):
    size = 1.05
    scene, batch, _ = batch_with(object_name, object_size=size)
    ours, theirs = batch.get_model(1), compiled(object_name, size)
    geom = scene.model.geom("object").id
    for name in ("geom_size", "geom_aabb", "geom_rbound", "geom_pos", "geom_quat"):
        np.testing.assert_allclose(
            getattr(ours, name)[geom], getattr(theirs, name)[geom], atol=1e-9, err_msg=name
        )
    np.testing.assert_allclose(ours.body_mass, theirs.body_mass)
    np.testing.assert_allclose(ours.body_inertia, theirs.body_inertia, rtol=1e-5)
    np.testing.assert_allclose(ours.dof_invweight0, theirs.dof_invweight0, rtol=1e-5)
    node = ours.body_bvhadr[scene.object_body]
    np.testing.assert_allclose(ours.bvh_aabb[node], theirs.bvh_aabb[node], atol=1e-9)


@pytest.mark.parametrize("object_name", ["block", "prism"])
def test_a_resized_object_moves_like_a_compiled_one(object_name):
    scene, batch, _ = batch_with(object_name, object_size=0.95)
    theirs = compiled(object_name, 0.95)
    data = mujoco.MjData(theirs)
    contacts = 0
    for _ in range(60):
        mujoco.mj_step(theirs, data)
        batch.step()
        contacts += data.ncon
    assert contacts > 60
    np.testing.assert_allclose(batch.bind("qpos")[1], data.qpos, atol=1e-6)
    assert np.abs(batch.bind("qpos")[0] - data.qpos).max() > 1e-4
    assert scene.model.geom_size[scene.model.geom("object").id, 0] == pytest.approx(
        object_spec(object_name).half_extent[0]
    )


def test_a_mesh_gets_the_nearest_size():
    scene, batch, _ = batch_with("prism", object_size=1.0333)
    geom = scene.model.geom("object").id
    nearest = MESH_SIZES[np.abs(MESH_SIZES - 1.0333).argmin()]
    vertices = batch.get_model(1)
    mesh = vertices.geom_dataid[geom]
    start, count = vertices.mesh_vertadr[mesh], vertices.mesh_vertnum[mesh]
    extent = np.abs(vertices.mesh_vert[start : start + count]).max(axis=0)
    np.testing.assert_allclose(extent, nearest * object_spec("prism").half_extent, rtol=1e-5)


def test_repeated_changes_start_from_the_nominal_values():
    scene, batch, fields = batch_with("block")
    nominal, last = scene.model, sampled(PRESETS["dactyl"], 3)
    for physics in (*many(PRESETS["dactyl"], 3), last):
        fields.apply(np.array([1]), [physics])
    ours = batch.get_model(1)
    hand = fields.links
    np.testing.assert_allclose(ours.body_mass[hand], nominal.body_mass[hand] * last.link_mass)
    ratio = ours.body_inertia[hand] / nominal.body_inertia[hand]
    np.testing.assert_allclose(ratio, np.repeat(last.link_mass[:, None], 3, axis=1))
    np.testing.assert_allclose(ours.body_mass[scene.object_body], 0.078 * last.object_mass)
    np.testing.assert_allclose(ours.geom_friction, nominal.geom_friction * last.friction)
    np.testing.assert_allclose(ours.pair_friction, nominal.pair_friction * last.friction)
    damping = nominal.dof_damping[scene.joint_dof] * last.joint_damping
    np.testing.assert_allclose(ours.dof_damping[scene.joint_dof], damping)
    gain = nominal.actuator_gainprm[:, 0] * last.actuator_gain
    np.testing.assert_allclose(ours.actuator_gainprm[:, 0], gain)
    np.testing.assert_allclose(ours.actuator_biasprm[:, 1], -gain)
    np.testing.assert_allclose(ours.opt.gravity, nominal.opt.gravity + last.gravity)
    assert np.all(ours.jnt_range[:, 0] <= ours.jnt_range[:, 1])
    fields.apply(np.array([1]), [sampled(NONE)])
    back = batch.get_model(1)
    for name in ("body_mass", "body_inertia", "geom_size", "dof_damping", "dof_invweight0"):
        np.testing.assert_array_equal(getattr(back, name), getattr(nominal, name), err_msg=name)


def test_other_simulations_keep_their_physics():
    _, batch, fields = batch_with("block")
    fields.apply(np.array([0, 1]), many(PRESETS["dactyl"], 2))
    before = batch.get_model(0).body_mass.copy()
    fields.apply(np.array([1]), [sampled(NONE)])
    np.testing.assert_array_equal(batch.get_model(0).body_mass, before)


def test_a_file_replaces_keys_of_its_preset(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('preset = "none"\nobject_mass = [0.9, 1.1]\ngravity = 1\n')
    config = load_randomization(str(path))
    assert config == dataclasses.replace(NONE, object_mass=(0.9, 1.1), gravity=1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("objekt_mass = 1", "objekt_mass"),
        ("object_mass = 1.0", "object_mass"),
        ("object_mass = [2.0, 1.0]", "in order"),
        ("joint_damping = [0.0, 1.0]", "log-uniform"),
        ("gravity = -1", "number from 0"),
        ("object_size = [0.0, 1.0]", "from 0.1 to 10"),
        ("force_decay = 3.0", "from 0 to 1"),
        ("pose_injection = [0.0, 5.0]", "from 0 to 1"),
        ("gravity = nan", "number from 0"),
        ("pose_period = [0, 2]", "at least 1"),
        ("backlash = [7.4, 70.0]", "backlash_calibrated = false"),
        ("backlash_up = [7.4, 70.0]", "backlash_calibrated = false"),
        ('preset = "none"\nbacklash_up = [7.4, 70.0]', "and a backlash"),
        ('preset = "absurd"', "absurd"),
        ("gravity = 'down'", "number from 0"),
        ("gravity =", "keys are"),
    ],
)
def test_files_that_cannot_be_sampled_are_refused(text, message, tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        load_randomization(str(path))


def test_unknown_names_are_refused():
    with pytest.raises(InputError, match="none, dactyl, dactyl-loguniform, wide, vision"):
        load_randomization("absurd")
    with pytest.raises(InputError, match="keys are"):
        load_randomization("nowhere.toml")


def test_dead_actuators_give_no_torque_and_change_no_other_number():
    config = dataclasses.replace(PRESETS["dactyl"], actuator_failure=0.3)
    gains = []
    for seed in range(100):
        physics = sample(np.random.default_rng(seed), config, hand_spec(), LINKS)
        whole = sample(np.random.default_rng(seed), PRESETS["dactyl"], hand_spec(), LINKS)
        alive = physics.actuator_gain > 0
        np.testing.assert_array_equal(physics.actuator_gain[alive], whole.actuator_gain[alive])
        np.testing.assert_array_equal(physics.backlash, whole.backlash)
        gains.append(alive)
    assert np.mean(gains) == pytest.approx(0.7, abs=0.03)
    assert np.all(np.isfinite(episode_parameters(physics)))
