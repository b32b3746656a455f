"""The simulation of a fit is that of the environment, and differentiable."""

import dataclasses

import numpy as np
import pytest

from opendactyl.benchmarks.support.twins import Twin, TwinConfig
from opendactyl.policy.calibration.commands import find_commands
from opendactyl.policy.calibration.parameters import ParameterSpace, find_chains, without_slack
from opendactyl.policy.calibration.plan import PlanConfig, make_plan
from opendactyl.policy.calibration.prediction import Predictor
from opendactyl.policy.calibration.simulation import empty_scene
from opendactyl.policy.calibration.windows import blocks, held_out, make_windows
from opendactyl.sim.timing import TIMESTEP

EXACT = {"encoder_noise": 0.0, "jitter": 0.0, "dropped": 0.0, "effort_noise": 0.0}


@pytest.fixture(scope="module")
def twin(damped_hand):
    return Twin(TwinConfig(hand=damped_hand, efforts=True, seed=3, **EXACT))


@pytest.fixture(scope="module")
def predictor(twin, damped_hand):
    log = twin.play(make_plan(damped_hand, PlanConfig(seconds=24)))
    return Predictor(log, empty_scene(damped_hand), threads=1)


def truth(twin, space: ParameterSpace):
    """The coordinates of the twin."""
    x, physics = space.nominal(), twin.physics
    values = {
        "gain": np.log(physics.actuator_gain), "damping": np.log(physics.joint_damping),
        "mass": np.log(physics.link_mass[1:]), "offset": physics.joint_offset,
        "armature": 0.0, "delay": twin.delays,
        "slack_down": np.log(physics.backlash[0]), "slack_up": np.log(physics.backlash[1]),
    }  # fmt: skip
    for kind, value in values.items():
        x[space.slices[kind]] = value
    return x


def whole(predictor):
    log = predictor.log
    return make_windows(log, predictor.commands, 24.0, 1.0, np.ones(len(log.time), dtype=bool))


def test_true_parameters_predict_the_log_of_the_environment(predictor, twin):
    space, log, windows = predictor.space, predictor.log, whole(predictor)
    values = space.values(truth(twin, space)[None])
    predicted = predictor.predict(values, windows)
    error = np.abs(log.joints[windows.rows] - predicted.joints[0])
    nominal = predictor.predict(without_slack(space.values(space.nominal()[None])), windows)
    wrong = np.abs(log.joints[windows.rows] - nominal.joints[0])
    assert np.median(error) < 5e-4 and np.median(wrong) > 0.01
    torque = np.abs(log.efforts[windows.rows] - predicted.efforts[0])
    assert np.median(torque) < 5e-3


def test_slack_along_measured_angles_is_that_of_the_simulation_where_they_agree(predictor, twin):
    windows = whole(predictor)
    values = predictor.space.values(truth(twin, predictor.space)[None])
    ours, other = (
        predictor.predict(values, windows, measured_slack=measured).joints
        for measured in (False, True)
    )
    assert np.median(np.abs(ours - other)) < 1e-3
    wrong = values | {"gain": 0.5 * values["gain"]}
    applied = [predictor.motion.applied(given).targets for given in (values, wrong)]
    np.testing.assert_array_equal(*applied)  # gains do not change what the log says


def test_slack_moves_as_fast_with_commands_between_physics_steps(predictor, twin, damped_hand):
    """Several commands arrive in a step: what is simulated is what the measured angles tell."""
    log = predictor.log
    time = np.arange(0, 8, 0.001)

    def denser(values):
        return np.stack([np.interp(time, log.time, column) for column in values.T], axis=1)

    log = dataclasses.replace(
        log, time=time, targets=denser(log.targets), joints=denser(log.joints),
        efforts=denser(log.efforts),
    )  # fmt: skip
    fast = Predictor(log, empty_scene(damped_hand), threads=1)
    values = fast.space.values(truth(twin, fast.space)[None])
    windows = make_windows(log, fast.commands, 2.0, 0.0, np.ones(len(time), dtype=bool))
    simulated, measured = (
        fast.predict(values, windows, measured_slack=flag).joints[0] for flag in (False, True)
    )
    moved = np.ptp(measured, axis=0)
    assert np.median(np.abs(simulated - measured).mean(axis=0) / moved) < 0.05


def test_simulations_begin_shortly_before_their_window_where_commands_are_rare(predictor):
    log, commands = predictor.log, predictor.commands
    every = np.ones(len(log.time), dtype=bool)
    rare = commands._replace(time=commands.time[::40], targets=commands.targets[::40])
    for given in (commands, rare):
        windows = make_windows(log, given, 1.0, 0.0, every)
        assert 1.0 < windows.steps * TIMESTEP < 1.3
    assert np.isin(make_windows(log, commands, 1.0, 0.0, every).begin[1:], commands.time).all()


def test_the_model_as_it_is_has_the_slack_of_its_file(predictor):
    assert not predictor.space.nominal_values()["slack_up"].any()  # of the claw
    scene = empty_scene("shadow")
    links = np.flatnonzero(scene.model.body_mass > 0)
    space = ParameterSpace(scene, links, find_chains(scene, links), efforts=False)
    values, exponents = space.nominal_values(), scene.hand.backlash_exponents
    np.testing.assert_allclose(np.log(values["slack_down"][0]), exponents[0])
    np.testing.assert_allclose(np.log(values["slack_up"][0]), exponents[1])
    assert not values["delay"].any() and not values["offset"].any()


def test_delays_between_physics_steps_are_interpolated(predictor, twin):
    space, windows = predictor.space, whole(predictor)
    x = np.tile(truth(twin, space), (3, 1))
    delay = space.slices["delay"]
    x[:, delay] = 0.08 + np.array([0.0, 0.003, 0.008])[:, None]
    first, between, last = predictor.predict(without_slack(space.values(x)), windows).joints
    expected = first + 3 / 8 * (last - first)
    moved = np.abs(last - first).mean()
    assert np.abs(between - expected).mean() < 0.2 * moved


def test_derivatives_are_those_of_predictions(predictor, twin):
    space, windows = predictor.space, whole(predictor)
    x = truth(twin, space)
    found = predictor.derivatives(x, predictor.predict(space.values(x[None]), windows), windows)
    assert sum(len(block.parameters) for block in found) == len(space)
    block = next(b for b in found if 0 in b.joints)
    damping = space.slices["damping"].start
    moved = x + 0.05 * (np.arange(len(x)) == damping)
    both = predictor.predict(space.values(np.stack([x, moved])), windows).joints[:, :, block.joints]
    column = int(np.searchsorted(block.parameters, damping))
    expected = (both[1] - both[0]) / 0.05
    ours = block.of_joints[:, :, column]
    assert np.corrcoef(ours.ravel(), expected.ravel())[0, 1] > 0.95
    assert np.std(ours) / np.std(expected) == pytest.approx(1, abs=0.1)


def test_derivatives_do_not_depend_on_the_moves_that_give_them(predictor, twin):
    space, windows, x = predictor.space, whole(predictor), truth(twin, predictor.space)
    at = predictor.predict(space.values(x[None]), windows, measured_slack=True)
    rng, moves = np.random.default_rng(0), []
    for chain in range(int(space.chain.max()) + 1):
        step = space.step[space.chain == chain] / 4
        moves.append(np.linalg.qr(rng.normal(size=(len(step), len(step))))[0] * step)
    each, other = (
        predictor.derivatives(x, at, windows, given, measured_slack=True) for given in (None, moves)
    )
    smooth = [k for k, (kind, _) in enumerate(space.labels) if kind in ("gain", "damping")]
    for one, two in zip(each, other, strict=True):
        for column in np.flatnonzero(np.isin(one.parameters, smooth)):
            pair = one.of_joints[..., column].ravel(), two.of_joints[..., column].ravel()
            assert np.corrcoef(*pair)[0, 1] > 0.9
            assert np.std(pair[1]) / np.std(pair[0]) == pytest.approx(1, abs=0.2)


def test_chains_are_the_fingers():
    scene = empty_scene("shadow")
    chains = find_chains(scene, np.zeros(0, dtype=np.intp))
    names = [
        {name[:2] for name, c in zip(scene.hand.joints, chains.joints, strict=True) if c == chain}
        for chain in range(chains.joints.max() + 1)
    ]
    assert sorted(map(sorted, names)) == [["FF"], ["LF"], ["MF"], ["RF"], ["TH"], ["WR"]]
    assert chains.actuators.tolist() == [
        chains.joints[scene.hand.joints.index(name.removeprefix("A_"))]
        for name in scene.hand.actuators
    ]


def test_held_out_samples_are_whole_blocks_that_no_fitted_window_compares(predictor):
    log = predictor.log
    held = held_out(log)
    assert 0.1 < held.mean() < 0.4 and set(blocks(log)[held]) == {2}
    windows = make_windows(log, find_commands(log), 6.0, 2.0, ~held)
    assert not held[windows.rows].any()
    time = windows.begin[windows.window] + windows.position * 0.008
    np.testing.assert_allclose(time, log.time[windows.rows])
