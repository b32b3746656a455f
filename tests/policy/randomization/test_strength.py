"""The strength of the randomization: weaker bodies and actuators, unchanged measurements."""

import dataclasses

import numpy as np
import pytest
from mujoco.batch import Batch

from opendactyl.policy.env.env import HandEnv
from opendactyl.policy.env.episode_types import Difficulty, EnvConfig
from opendactyl.policy.interface.actions import BINS
from opendactyl.policy.randomization.config import PRESETS
from opendactyl.policy.randomization.model_fields import sized_scene
from opendactyl.policy.randomization.physics import Physics, sample
from opendactyl.policy.randomization.randomizer import Randomizer
from opendactyl.sim.hands.shipped import hand_spec

LINKS = tuple(f"link{number}" for number in range(26))
SENSING = (
    "fingertip_offset", "fingertip_marker", "position_offset", "rotation_offset", "joint_offset",
    "pose_delay", "pose_period", "pose_injection",
)  # fmt: skip
BODY = [f.name for f in dataclasses.fields(Physics) if f.name not in (*SENSING, "strength")]
CALIBRATED = {
    "joint_armature": (0.5, 2.0), "joint_friction": (0.0, 0.1), "actuator_delay": (0.0, 0.12),
}  # fmt: skip
"""Parameters that the presets do not vary."""
FACTORS = ("object_size", "object_mass", "link_mass", "friction")
LOG_FACTORS = ("joint_damping", "actuator_gain")


def sampled(strength, preset="vision", seed=2):
    return sample(np.random.default_rng(seed), PRESETS[preset], hand_spec(), LINKS, strength)


def test_strength_zero_is_the_nominal_body_with_full_errors_of_measurement():
    weakest, full, nominal = sampled(0.0), sampled(1.0), sampled(1.0, "none")
    for name in BODY:
        np.testing.assert_array_equal(getattr(weakest, name), getattr(nominal, name), name)
    for name in SENSING:
        np.testing.assert_array_equal(getattr(weakest, name), getattr(full, name), name)
        if name.endswith("offset"):
            assert np.all(getattr(full, name) != getattr(nominal, name)), name


def deviation(physics, name):
    """Distance of a parameter from its nominal value, on the scale of its distribution."""
    value = np.asarray(getattr(physics, name), dtype=float)
    if name == "backlash":  # The width of the slack.
        return np.divide(1.0, value, out=np.zeros_like(value), where=value > 0)
    if name in FACTORS:
        return value - 1
    return np.log(value) if name in LOG_FACTORS else value


@pytest.mark.parametrize("name", CALIBRATED)
def test_calibrated_parameters_grow_with_the_strength(name):
    config, hand = dataclasses.replace(PRESETS["none"], **{name: CALIBRATED[name]}), hand_spec()
    values = [
        getattr(sample(np.random.default_rng(2), config, hand, LINKS, strength), name)
        for strength in (0.0, 0.5, 1.0)
    ]
    distance = np.abs(np.log(values) if name == "joint_armature" else values)
    assert np.all(distance[0] == 0) and distance[1].sum() == pytest.approx(
        distance[2].sum() / 2, rel=0.1
    )


@pytest.mark.parametrize("preset", ["dactyl", "dactyl-loguniform"])
@pytest.mark.parametrize("name", [name for name in BODY if name not in CALIBRATED])
def test_every_deviation_grows_with_the_strength(preset, name):
    strengths = (0.0, 0.25, 0.5, 0.75, 1.0)
    deviations = [deviation(sampled(strength, preset), name) for strength in strengths]
    if name == "action_delay":  # It occurs or not: more often, and where it did before.
        assert np.all(np.diff(deviations, axis=0) >= 0)
        assert [d.sum() > 0 for d in deviations] == [False, True, True, True, True]
        return
    for strength, value in zip(strengths, deviations, strict=True):
        np.testing.assert_allclose(value, strength * deviations[-1], atol=1e-12)
    absent = "action_scale" if preset == "dactyl" else "action_scale_offset"
    assert np.any(deviations[-1] != 0) == (name != absent)


def test_a_hand_of_strength_zero_moves_like_one_without_randomization():
    weakest = HandEnv(EnvConfig(randomization="dactyl"), 2, seed=1)
    plain = HandEnv(EnvConfig(), 2, seed=1)
    weakest.difficulty = Difficulty(strength=0.0)
    weakest.reset(), plain.reset()
    assert np.all(weakest.strength == 0) and np.all(plain.strength == 1)
    for bins in np.random.default_rng(0).integers(0, BINS, (12, 2, 20)):
        weakest.step(bins), plain.step(bins)
    ours, theirs = weakest.true_measurement(), plain.true_measurement()
    for name, value in vars(ours).items():
        np.testing.assert_allclose(value, getattr(theirs, name), atol=1e-5, err_msg=name)
    # Only the measurements are disturbed.
    assert np.abs(weakest.measured.object_position - ours.object_position).max() > 1e-3


@pytest.fixture
def make_randomizer():
    scene = sized_scene("block")

    def make(count, seed=0):
        batch = Batch(scene.model, count, 1, persistent=True)
        return Randomizer(PRESETS["dactyl"], batch, scene, seed, weaker_fraction=0.4)

    return make


def begun(randomizer, first, strength):
    """Starts an episode in each simulation; returns their physics."""
    count = len(randomizer.physics)
    numbers = first + np.arange(count)
    randomizer.begin(np.arange(count), numbers, np.zeros((count, 20)), strength)
    return [physics.to_dict() for physics in randomizer.physics]


def test_two_of_five_episodes_are_weaker_than_the_largest_strength(make_randomizer):
    randomizer, strengths = make_randomizer(50), []
    for first in range(0, 600, 50):
        begun(randomizer, first, 0.5)
        strengths.append(randomizer.strength.copy())
    strengths = np.concatenate(strengths)
    assert strengths.max() == 0.5
    assert (strengths == 0.5).mean() == pytest.approx(0.6, abs=0.06)
    weaker = strengths[strengths < 0.5]
    assert weaker.min() < 0.05 and weaker.max() > 0.45
    assert weaker.mean() == pytest.approx(0.25, abs=0.03)


def test_an_episode_depends_on_seed_number_and_strength_only(make_randomizer):
    together, alone = begun(make_randomizer(4), 10, 0.5), make_randomizer(1)
    for number in (3, 0, 2):
        assert begun(alone, 10 + number, 0.5) == together[number : number + 1]
    assert begun(alone, 12, 0.6) != together[2:3]
    assert begun(make_randomizer(1, seed=1), 12, 0.5) != together[2:3]


def test_evaluations_are_at_full_strength():
    weaker = EnvConfig(randomization="dactyl", weaker_fraction=1.0)
    env = HandEnv(weaker, 4)
    env.reset()
    assert np.all(env.strength < 1)
    env = HandEnv(dataclasses.replace(weaker, evaluation=True), 4)
    env.reset()
    assert np.all(env.strength == 1)
