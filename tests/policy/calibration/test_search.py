"""Where a fit begins, on a simulated robot whose parameters are known."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from opendactyl.benchmarks.support.twins import Twin, TwinConfig
from opendactyl.policy.calibration.plan import PlanConfig, make_plan
from opendactyl.policy.calibration.prediction import Predictor
from opendactyl.policy.calibration.search import Regression, find_start
from opendactyl.policy.calibration.simulation import empty_scene


@pytest.fixture(scope="module")
def twin(damped_hand):
    return Twin(TwinConfig(hand=damped_hand, seed=3))


@pytest.fixture(scope="module")
def predictor(twin, damped_hand):
    log = twin.play(make_plan(damped_hand, PlanConfig(seconds=40)))
    return Predictor(log, empty_scene(damped_hand), threads=1)


def test_a_search_finds_delays_slack_and_offsets(twin, predictor):
    x, part = find_start(predictor), predictor.space.slices
    assert np.abs(x[part["delay"]] - twin.delays).max() < 0.012
    slack = np.stack([x[part["slack_down"]], x[part["slack_up"]]])
    assert np.median(np.abs(slack - np.log(twin.physics.backlash))) < 0.1
    joints = twin.scene.transmission.joints[:, 0]
    offsets = x[part["offset"]][joints] - twin.physics.joint_offset[joints]
    assert np.median(np.abs(offsets)) < 0.005


def test_the_truth_fits_better_than_other_candidates(twin, predictor):
    regression = Regression(predictor)
    for actuator in range(4):
        offset = twin.scene.transmission(twin.physics.joint_offset[None])[0, actuator]
        truth = [twin.delays[actuator], *np.log(twin.physics.backlash[:, actuator]), offset]
        others = np.array(truth) + np.array(
            [[0.04, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, 0], [0, 0, 0, 0.05]]
        )
        losses, factors = regression(actuator, np.vstack([truth, others]))
        assert np.all(losses[1:] > 1.05 * losses[0])
        # Gain over damping, as factors of the model's; noise makes it smaller.
        joints = twin.scene.transmission.joints[actuator, :1]
        expected = twin.physics.actuator_gain[actuator] / twin.physics.joint_damping[joints]
        np.testing.assert_allclose(factors[0, :1] / expected, 0.85, atol=0.25)


def test_an_actuator_that_does_not_move_its_joint_keeps_the_prior(twin, predictor, damped_hand):
    targets = predictor.log.targets.copy()
    targets[:, 0] = targets[0, 0]
    rng = np.random.default_rng(0)
    joints = predictor.log.joints.copy()
    moved = twin.scene.transmission.joints[0]
    joints[:, moved] = joints[:1, moved] + rng.normal(0, 0.002, (len(joints), len(moved)))
    log = dataclasses.replace(predictor.log, targets=targets, joints=joints)
    still = Predictor(log, empty_scene(damped_hand), threads=1)
    x, space = find_start(still), still.space
    names = (twin.scene.hand.actuators[0], twin.scene.hand.joints[moved[0]])
    own = [number for number, (_, name) in enumerate(space.labels) if name in names]
    np.testing.assert_array_equal(x[own], space.mean[own])
    other = space.labels.index(("delay", twin.scene.hand.actuators[1]))
    assert abs(x[other] - twin.delays[1]) < 0.012


def test_gaps_of_a_log_are_not_compared(twin, predictor, damped_hand):
    log = predictor.log
    kept = (log.time % 8 < 5) | (log.time % 8 > 7)  # five gaps of two seconds
    fields = {name: getattr(log, name)[kept] for name in ("time", "targets", "joints")}
    x = find_start(Predictor(dataclasses.replace(log, **fields), empty_scene(damped_hand), 1))
    part = predictor.space.slices
    assert np.abs(x[part["delay"]] - twin.delays).max() < 0.015
    slack = np.stack([x[part["slack_down"]], x[part["slack_up"]]])
    assert np.median(np.abs(slack - np.log(twin.physics.backlash))) < 0.15


def test_servos_that_damp_and_limit_their_force_are_searched(tmp_path, damped_hand):
    folder = Path(damped_hand).parent
    text = (folder / "claw.xml").read_text()
    servo = text.replace('kp="2"', 'kp="2" kv="0.2"').replace('"-1 1"', '"-0.3 0.3"')
    assert servo.count("kv=") == 1 and servo.count('"-0.3 0.3"') == 1
    (tmp_path / "claw.xml").write_text(servo)
    hand = tmp_path / "claw.toml"
    hand.write_text((folder / "claw.toml").read_text().replace("= 0.2", "= 0.001"))
    twin = Twin(TwinConfig(hand=str(hand), seed=3))
    log = twin.play(make_plan(str(hand), PlanConfig(seconds=40)))
    predictor = Predictor(log, empty_scene(str(hand)), threads=1)
    x, part = find_start(predictor), predictor.space.slices
    assert np.median(np.abs(x[part["delay"]] - twin.delays)) < 0.01
    slack = np.stack([x[part["slack_down"]], x[part["slack_up"]]])
    assert np.median(np.abs(slack - np.log(twin.physics.backlash))) < 0.1
