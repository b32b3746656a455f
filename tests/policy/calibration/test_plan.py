"""Plans of motions: safe, and telling."""

import csv
from pathlib import Path

import mujoco
import numpy as np
import pytest

from opendactyl.core.errors import InputError
from opendactyl.policy.calibration.plan import CLEARANCE, PlanConfig, make_plan, write_plan
from opendactyl.policy.calibration.simulation import empty_scene
from opendactyl.sim.timing import CONTROL_PERIOD, SUBSTEPS

CLAW = str(Path(__file__).parents[2] / "hands/claw.toml")


@pytest.fixture(scope="module")
def plan():
    return make_plan("shadow", PlanConfig(seconds=60))


def test_targets_stay_inside_their_ranges_and_below_the_speed(plan):
    low, high = empty_scene("shadow").actuator_range.T
    inside = 0.1 * (high - low) - 1e-9
    assert np.all(plan >= low + inside) and np.all(plan <= high - inside)
    assert np.abs(np.diff(plan, axis=0)).max() <= 3.0 * CONTROL_PERIOD + 1e-9
    assert len(plan) * CONTROL_PERIOD == pytest.approx(60, abs=5)


def test_a_slow_plan_is_slow_between_motions_too():
    plan = make_plan(CLAW, PlanConfig(seconds=60, max_speed=0.3))
    assert np.abs(np.diff(plan, axis=0)).max() <= 0.3 * CONTROL_PERIOD + 1e-9
    assert np.ptp(plan, axis=0).min() > 0.3
    with pytest.raises(InputError, match="--seconds is 14, too short"):
        make_plan(CLAW, PlanConfig(seconds=14, max_speed=0.3))


def test_the_simulated_hand_does_not_come_near_to_itself(plan):
    scene = empty_scene("shadow")
    scene.model.geom_gap[:] += CLEARANCE / 2
    mujoco.mj_setConst(scene.model, mujoco.MjData(scene.model))
    data = mujoco.MjData(scene.model)
    for target in plan:
        data.ctrl[:] = target
        for _ in range(SUBSTEPS):
            mujoco.mj_step(scene.model, data)
            assert data.ncon == 0


def test_every_actuator_moves_often(plan):
    reversals = (np.diff(np.sign(np.diff(plan, axis=0)), axis=0) != 0).sum(axis=0)
    assert reversals.min() > 20
    low, high = empty_scene("shadow").actuator_range.T
    assert np.median(np.ptp(plan, axis=0) / (high - low)) > 0.5


def test_actuators_move_alone_then_together():
    plan = make_plan(CLAW, PlanConfig(seconds=40))
    moving = (np.abs(np.diff(plan, axis=0)) > 1e-6).sum(axis=1)
    third = len(moving) // 3
    assert moving[-third:].mean() > 1.5 * moving[:third].mean()


def test_the_hand_does_not_rest_for_long(plan):
    """Motions that would collide are replaced by others, not by rest."""
    changed = np.flatnonzero(np.any(np.abs(np.diff(plan, axis=0)) > 1e-9, axis=1))
    assert np.diff(changed).max() * CONTROL_PERIOD < 2.5
    moving = (np.abs(np.diff(plan, axis=0)) > 1e-6).sum(axis=1)
    assert np.median(moving[-len(moving) // 4 :]) >= 3 > np.median(moving[: len(moving) // 4])


def test_a_plan_depends_on_its_seed_alone():
    plans = [make_plan(CLAW, PlanConfig(seconds=14, seed=seed)) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(plans[0], plans[1])
    assert not np.array_equal(plans[0], plans[2])


def test_a_plan_in_which_an_actuator_could_not_move_is_refused():
    with pytest.raises(InputError, match=r"--seconds is 30, too short .* give about 65"):
        make_plan("shadow", PlanConfig(seconds=30))


def test_the_file_has_the_columns_of_the_logs(tmp_path):
    plan = make_plan(CLAW, PlanConfig(seconds=14))
    write_plan(plan, CLAW, tmp_path / "plan.csv")
    rows = list(csv.reader((tmp_path / "plan.csv").read_text().splitlines()))
    assert rows[0] == ["time", "target_m1", "target_m2", "target_m3", "target_m4"]
    np.testing.assert_allclose(np.array(rows[1:], dtype=float)[:, 1:], plan, atol=1e-5)
    assert float(rows[2][0]) == pytest.approx(CONTROL_PERIOD)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seconds": 1.0}, "--seconds is 1; it must be from 10"),
        ({"max_speed": 0.0}, "--max-speed is 0"),
        ({"margin": 0.5}, "--margin is 0.5"),
    ],
)
def test_wrong_settings_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        PlanConfig(**options)
