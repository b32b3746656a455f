"""The study of calibration at toy size."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from mujoco.batch import Batch

from opendactyl.benchmarks.studies import calibration
from opendactyl.benchmarks.studies.calibration import KINDS, StudyConfig, run
from opendactyl.benchmarks.support.twins import Twin, TwinConfig
from opendactyl.core.errors import InputError
from opendactyl.policy.calibration import fit as fit_module
from opendactyl.policy.calibration.plan import PlanConfig, make_plan
from opendactyl.policy.randomization.model_fields import sized_scene
from opendactyl.policy.randomization.randomizer import Randomizer

HANDS = Path(__file__).parents[2] / "hands"


@pytest.fixture
def hand(tmp_path):
    shutil.copy(HANDS / "claw.xml", tmp_path)
    return str(shutil.copy(HANDS / "claw.toml", tmp_path))


def test_the_study_writes_errors_and_coverage(hand, tmp_path, monkeypatch):
    monkeypatch.setattr(fit_module, "STAGES", ((6.0, 1.5, 30.0, 1),))
    config = StudyConfig(hand=hand, twins=1, seconds=21, threads=1, out=tmp_path / "study")
    (result,) = run(config)
    assert result.before > 0 and result.after > 0 and result.seconds > 0
    assert set(result.errors) == set(result.covered) == set(result.deviations) == set(KINDS)
    content = json.loads((tmp_path / "study/results.json").read_text())
    assert content["rows"][0]["errors"] == result.errors
    table = (tmp_path / "study/table.md").read_text()
    assert table.startswith("1 twins") and all(f"| {kind} |" in table for kind in KINDS)
    covered = [inside for kind in KINDS for inside in result.covered[kind]]
    assert f"| all | {len(covered)} | | | {np.mean(covered):.0%} |" in table
    within = np.mean(np.abs(result.errors["delay"]) <= 0.01)
    assert f"Delays within 10 ms: {within:.0%}." in table
    monkeypatch.setattr(calibration, "calibrate", None)
    assert run(config) == [result], "a finished fit is not repeated"
    with pytest.raises(InputError, match="seconds"):
        run(dataclasses.replace(config, seconds=22))


def test_twins_are_logged_with_noise_jitter_and_missing_samples(hand):
    plan = make_plan(hand, PlanConfig(seconds=14))
    logs = [
        Twin(TwinConfig(hand=hand, seed=5, encoder_noise=noise, dropped=0.1)).play(plan)
        for noise in (0.0, 0.01)
    ]
    exact, noisy = logs
    np.testing.assert_array_equal(exact.time, noisy.time)
    assert np.std(noisy.joints - exact.joints) == pytest.approx(0.01, rel=0.05)
    intervals = np.diff(exact.time)
    assert (intervals > 0).all() and np.std(intervals[intervals < 0.015]) > 5e-4
    assert len(exact.time) == pytest.approx(0.9 * 100 * len(plan) * 0.08, rel=0.03)


def test_other_physics_is_another_motion(hand):
    plan = make_plan(hand, PlanConfig(seconds=14))
    same, other = (
        Twin(TwinConfig(hand=hand, seed=5, other_physics=value)).play(plan) for value in (0, 1)
    )
    assert 1e-3 < np.abs(same.joints - other.joints).max() < 1


def test_episodes_with_a_twins_randomization_have_its_parameters(hand):
    twin = Twin(TwinConfig(hand=hand, seed=5))
    scene = sized_scene("block", hand)
    batch = Batch(scene.model, 2, 1, persistent=True)
    randomizer = Randomizer(twin.randomization(), batch, scene, seed=3)
    randomizer.begin(np.arange(2), np.arange(2), np.zeros((2, len(scene.hand.actuators))))
    first, second = randomizer.physics
    for name in (
        "joint_damping", "actuator_gain", "link_mass", "joint_offset", "actuator_delay",
        "joint_limits", "joint_armature", "joint_friction",
    ):  # fmt: skip
        for physics in (first, second):
            np.testing.assert_allclose(
                getattr(physics, name), getattr(twin.physics, name), err_msg=name
            )
    low, high = scene.actuator_range.T
    np.testing.assert_allclose(first.backlash / ((high - low) / 2), twin.physics.backlash)
    assert first.object_mass != second.object_mass, "the object is not the robot's"
