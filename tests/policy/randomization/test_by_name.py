"""Ranges by joint and actuator, and the parameters that a calibration adds."""

import dataclasses

import numpy as np
import pytest
from mujoco.batch import Batch

from opendactyl.core.atomic_files import json_hash
from opendactyl.core.config_fields import ByName, to_toml
from opendactyl.core.errors import InputError
from opendactyl.core.run_dir import to_plain
from opendactyl.policy.randomization.backlash import for_hand, sample_rates
from opendactyl.policy.randomization.config import PRESETS, load_randomization
from opendactyl.policy.randomization.model_fields import ModelFields, sized_scene
from opendactyl.policy.randomization.physics import sample
from opendactyl.policy.randomization.randomizer import Randomizer
from opendactyl.sim.hands.shipped import hand_spec
from opendactyl.sim.timing import SUBSTEPS, TIMESTEP

NONE, DACTYL = PRESETS["none"], PRESETS["dactyl"]
NEW = ("joint_armature", "joint_friction", "actuator_delay")
DRAWS = {"none": "ec513e0f49b33eee", "dactyl": "43f767dfccc00529", "vision": "b6e7cfe2be53ae6a"}
"""Hashes of the samples before there were ranges by name."""
FILE = """
preset = "dactyl"
hand = "shadow"
backlash_calibrated = false
actuator_delay = [0.0, 0.04]
[joint_damping]
FFJ3 = [0.9, 1.1]
[joint_offset_centre]
WRJ1 = -0.03
[joint_offset]
default = 0.02
WRJ1 = 0.001
[backlash]
default = [7.4, 70.0]
A_FFJ3 = [10.0, 11.0]
[backlash_up]
default = [7.4, 70.0]
A_FFJ3 = [30.0, 31.0]
"""

LINKS = tuple(f"link{number}" for number in range(26))


def sampled(config, seed=0):
    return sample(np.random.default_rng(seed), config, hand_spec(), LINKS)


@pytest.fixture
def ranges(tmp_path):
    path = tmp_path / "ranges.toml"
    path.write_text(FILE)
    return load_randomization(str(path))


@pytest.mark.parametrize("name", DRAWS)
def test_samples_of_presets_are_those_of_earlier_versions(name):
    samples = [sampled(PRESETS[name], seed).to_dict() for seed in range(3)]
    old = [{k: v for k, v in values.items() if k not in NEW} for values in samples]
    assert json_hash(old).startswith(DRAWS[name])


def test_settings_of_runs_are_those_of_earlier_versions():
    plain = to_plain(DACTYL)
    optional = {"joint_armature", "joint_friction", "joint_offset_centre", "actuator_delay"}
    assert not (optional | {"backlash_up", "hand"}) & set(plain)
    changed = dataclasses.replace(DACTYL, joint_armature=(0.5, 2.0))
    assert set(to_plain(changed)) - set(plain) == {"joint_armature"}


def test_a_table_gives_ranges_by_name_and_the_preset_those_of_the_others(ranges):
    hand = hand_spec()
    physics = [sampled(ranges, seed) for seed in range(50)]
    one, wrist = hand.joints.index("FFJ3"), hand.joints.index("WRJ1")
    damping = np.stack([p.joint_damping for p in physics])
    assert np.all((damping[:, one] > 0.9) & (damping[:, one] < 1.1))
    assert damping[:, wrist].max() > 2
    offset = np.stack([p.joint_offset for p in physics])
    assert offset[:, wrist].mean() == pytest.approx(-0.03, abs=1e-3)
    assert 0.01 < offset[:, one].std() < 0.03
    delay = np.stack([p.actuator_delay for p in physics])
    assert set(np.unique(delay)) == set(range(round(0.04 / TIMESTEP) + 1))
    rates = np.stack([sample_rates(np.random.default_rng(s), ranges, hand) for s in range(50)])
    finger = rates[:, :, hand.actuators.index("A_FFJ3")]
    assert np.all((finger > [10, 30]) & (finger < [11, 31]))


def test_ranges_are_written_and_read_again(ranges, tmp_path):
    path = tmp_path / "again.toml"
    path.write_text(to_toml(ranges, "dactyl"))
    assert load_randomization(str(path)) == ranges


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[joint_damping]\nFFJ3 = [2.0, 1.0]", "joint_damping of FFJ3 .*in order"),
        ("[joint_damping]\nFFJ3 = [0.0, 1.0]", "log-uniform"),
        ("[joint_damping]\nFFJ3 = 1", "joint_damping of FFJ3"),
        ("[object_mass]\nblock = [0.5, 1.0]", "object_mass"),
        ("actuator_delay = [0.0, 20.0]", "from 0 to 1"),
        ("hand = 3", "a text"),
    ],
)
def test_tables_that_cannot_be_sampled_are_refused(text, message, tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        load_randomization(str(path))


def test_ranges_of_another_hand_are_refused(ranges):
    with pytest.raises(InputError, match="hand 'claw', not 'shadow'; use --hand claw"):
        for_hand(dataclasses.replace(ranges, hand="claw"), hand_spec())
    absurd = dataclasses.replace(DACTYL, joint_damping=ByName((1.0, 1.0), {"TAIL": (1.0, 1.0)}))
    with pytest.raises(InputError, match="joint_damping: hand shadow has no joint 'TAIL'"):
        for_hand(absurd, hand_spec())


def test_masses_of_links_are_set_by_name_and_misspelt_ones_are_refused(tmp_path):
    scene = sized_scene("block")
    batch = Batch(scene.model, 2, 1, persistent=True)
    path = tmp_path / "ranges.toml"
    path.write_text('preset = "none"\n[link_mass]\nffdistal = [2.0, 2.0]\n')
    Randomizer(load_randomization(str(path)), batch, scene, 0).begin(
        np.arange(2), np.arange(2), np.zeros((2, 20))
    )
    ratio = batch.get_model(1).body_mass[1:] / scene.model.body_mass[1:].clip(1e-9)
    named = [scene.model.body(b).name for b in range(1, scene.model.nbody)]
    assert {n for n, r in zip(named, ratio, strict=True) if r > 1.5} == {"robot0:ffdistal"}
    path.write_text('preset = "none"\n[link_mass]\nffdistall = [2.0, 2.0]\n')
    with pytest.raises(InputError, match=r"link_mass: hand shadow has no link 'ffdistall'"):
        Randomizer(load_randomization(str(path)), batch, scene, 0)


def test_armature_and_friction_loss_are_those_of_each_joint():
    scene = sized_scene("block")
    batch = Batch(scene.model, 2, 1, persistent=True)
    joints = len(scene.hand.joints)
    config = dataclasses.replace(NONE, joint_armature=(2.0, 2.0), joint_friction=(-0.5, -0.5))
    added = dataclasses.replace(sampled(config), joint_friction=np.linspace(-0.5, 0.1, joints))
    ModelFields(batch, scene).apply(np.array([1]), [added])
    ours, nominal, dofs = batch.get_model(1), scene.model, scene.joint_dof
    np.testing.assert_allclose(ours.dof_armature[dofs], 2 * nominal.dof_armature[dofs])
    expected = np.maximum(nominal.dof_frictionloss[dofs] + np.linspace(-0.5, 0.1, joints), 0)
    np.testing.assert_allclose(ours.dof_frictionloss[dofs], expected)
    free = scene.object_dof
    np.testing.assert_array_equal(ours.dof_armature[free], nominal.dof_armature[free])


@pytest.mark.parametrize("steps", [3, 10, 12])
def test_targets_act_after_their_delay_in_physics_steps(steps):
    scene = sized_scene("block")
    batch = Batch(scene.model, 1, 1, persistent=True)
    seconds = steps * TIMESTEP
    config = dataclasses.replace(NONE, actuator_delay=(seconds, seconds))
    randomizer, ids = Randomizer(config, batch, scene, 0), np.arange(1)
    low, high = scene.actuator_range.T
    start = (low + high) / 2
    randomizer.begin(ids, np.zeros(1, dtype=np.int64), start[None])
    assert randomizer.acts_within_actions
    acting = []
    for action in range(3):
        sent = start + 0.1 * (high - low) * (action + 1)
        randomizer.actuate(sent[None], start[None], ids)
        acting += [randomizer.targets_at(s, start[None], ids)[0] for s in range(SUBSTEPS)]
    number = np.rint((np.array(acting) - start) / (high - low) / 0.1)
    expected = [max(0, (t - steps) // SUBSTEPS + 1) for t in range(3 * SUBSTEPS)]
    np.testing.assert_array_equal(number, np.repeat(np.array(expected)[:, None], 20, axis=1))
