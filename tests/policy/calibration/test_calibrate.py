"""Fits of simulated robots whose parameters are known."""

import dataclasses
import json
import shutil
from pathlib import Path

import mujoco
import numpy as np
import pytest
from mujoco.batch import Batch

from opendactyl.benchmarks.support.twins import Twin, TwinConfig
from opendactyl.cli.main import main
from opendactyl.core.errors import InputError
from opendactyl.policy.calibration import fit as fit_module
from opendactyl.policy.calibration.calibrate import calibrate
from opendactyl.policy.calibration.intervals import intervals
from opendactyl.policy.calibration.plan import PlanConfig, make_plan
from opendactyl.policy.calibration.prediction import Predictor
from opendactyl.policy.calibration.results.outputs import (
    parameters,
    write_fit,
    write_hand,
    write_ranges,
)
from opendactyl.policy.calibration.results.report import write_report
from opendactyl.policy.calibration.simulation import empty_scene
from opendactyl.policy.randomization.backlash import for_hand
from opendactyl.policy.randomization.config import load_randomization
from opendactyl.policy.randomization.model_fields import sized_scene
from opendactyl.policy.randomization.randomizer import Randomizer
from opendactyl.sim.hands.shipped import hand_spec
from opendactyl.sim.scene import load_scene


@pytest.fixture(scope="module")
def twin(damped_hand):
    return Twin(TwinConfig(hand=damped_hand, seed=1))


@pytest.fixture(scope="module")
def calibration(twin, damped_hand):
    """A short fit of 25 s of motion."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit_module, "STAGES", ((1.5, 0.3, 18.0, 3),))
        log = twin.play(make_plan(damped_hand, PlanConfig(seconds=25)))
        return calibrate(log, damped_hand, threads=1, progress=False)


@pytest.fixture(scope="module")
def outputs(calibration, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fit")
    write_hand(calibration, folder)
    write_ranges(calibration, folder / "ranges.toml")
    write_fit(calibration, folder / "fit.json")
    write_report(calibration, folder / "report.html")
    return folder


def test_a_fit_predicts_much_better_than_the_model(calibration, twin):
    before, after = calibration.errors
    assert not calibration.refusal and after < before / 3
    found = {(p.kind, p.name): p for p in parameters(calibration)}
    delays = [found["delay", name].value for name in twin.scene.hand.actuators]
    assert np.median(np.abs(delays - twin.delays)) < 0.01
    hand, physics = twin.scene.hand, twin.physics
    slack = dict(zip(("slack_down", "slack_up"), physics.backlash, strict=True))
    true = {"gain": physics.actuator_gain, "damping": physics.joint_damping, **slack}
    for kind, values in true.items():
        names = hand.joints if kind == "damping" else hand.actuators
        errors = [
            abs(np.log(found[kind, name].value / value))
            for name, value in zip(names, values, strict=True)
            if found[kind, name].determined
        ]
        assert len(errors) >= 2 and np.median(errors) < 0.15, kind


def test_the_ranges_can_be_sampled_and_are_refused_for_another_hand(
    calibration, outputs, damped_hand
):
    ranges = load_randomization(str(outputs / "ranges.toml"))
    assert ranges.hand == "claw" and not ranges.backlash_calibrated and ranges.action_delay == 0
    scene = sized_scene("block", damped_hand)
    batch = Batch(scene.model, 2, 1, persistent=True)
    randomizer, ids = Randomizer(ranges, batch, scene, 0), np.arange(2)
    randomizer.begin(ids, np.arange(2), np.zeros((2, 4)))
    known = {(p.kind, p.name): p for p in parameters(calibration) if p.determined}
    for physics in randomizer.physics:
        for number, name in enumerate(scene.hand.actuators):
            if p := known.get(("gain", name)):
                assert p.low * 0.999 <= physics.actuator_gain[number] <= p.high * 1.001
        for number, name in enumerate(scene.hand.joints):
            if p := known.get(("damping", name)):
                assert p.low * 0.999 <= physics.joint_damping[number] <= p.high * 1.001
    assert any(kind == "damping" for kind, _ in known)
    with pytest.raises(InputError, match="refer to the model of hand 'claw', not 'shadow'"):
        for_hand(ranges, hand_spec("shadow"))


def test_the_hand_has_the_fitted_parameters(calibration, outputs, damped_hand):
    fitted, nominal = load_scene(hand=str(outputs / "hand.toml")), load_scene(hand=damped_hand)
    assert fitted.hand.name == "claw-fitted" and fitted.hand.backlash_exponents.shape == (2, 4)
    for p in parameters(calibration):
        if p.kind == "gain" and p.determined:
            number = fitted.hand.actuators.index(p.name)
            ratio = fitted.model.actuator_gainprm[number, 0]
            ratio /= nominal.model.actuator_gainprm[number, 0]
            assert ratio == pytest.approx(p.value, rel=1e-4)
    mjcf = mujoco.MjModel.from_xml_path(str(outputs / "mjcf/hand.xml"))
    assert mjcf.nu == 4 and mjcf.nq == nominal.model.nq - 7, "the hand without the object"
    for number, name in enumerate(fitted.hand.actuators):
        gain = mjcf.actuator(fitted.hand.model.prefix + name).gainprm[0]
        assert gain == pytest.approx(fitted.model.actuator_gainprm[number, 0])
    for number, name in enumerate(fitted.hand.joints):
        p = next(p for p in parameters(calibration) if (p.kind, p.name) == ("damping", name))
        factor = p.value if p.determined else 1.0  # the file's 0.2, not the model's 0.05
        expected = factor * nominal.model.dof_damping[nominal.joint_dof[number]]
        found = fitted.model.dof_damping[fitted.joint_dof[number]]
        assert found == pytest.approx(expected, rel=1e-4)
        written = mjcf.joint(fitted.hand.model.prefix + name)
        for field in ("damping", "armature", "frictionloss"):
            expected = getattr(fitted.model, f"dof_{field}")[fitted.joint_dof[number]]
            assert getattr(written, field)[0] == pytest.approx(expected, rel=1e-4)
    assert mjcf.opt.timestep == fitted.model.opt.timestep
    assert mjcf.opt.integrator == fitted.model.opt.integrator


def test_the_report_says_what_was_not_determined(calibration, outputs):
    text = (outputs / "report.html").read_text()
    for word in ("accepted", "one_base", "Correlations", "armature: not fitted", "no torques"):
        assert word in text
    content = json.loads((outputs / "fit.json").read_text())
    assert content["accepted"] and len(content["parameters"]) == len(calibration.predictor.space)


def test_what_is_not_determined_keeps_the_values_of_the_hands_file(
    calibration, damped_hand, tmp_path
):
    """Here nothing is."""
    own = tmp_path / "own"
    shutil.copytree(Path(damped_hand).parent, own)
    backlash = "down = [4.0, 3.5, 2.5, 3.0]\nup = [3.0, 3.5, 2.0, 4.0]"
    with (own / "claw.toml").open("a") as file:
        file.write(f"armature = {{ one_tip = 0.003 }}\n\n[backlash]\n{backlash}\n")
    predictor = Predictor(calibration.predictor.log, empty_scene(str(own / "claw.toml")), 1)
    known = calibration.intervals
    known = dataclasses.replace(known, determined=np.zeros_like(known.determined))
    write_hand(dataclasses.replace(calibration, predictor=predictor, intervals=known), tmp_path)
    written, given = hand_spec(str(tmp_path / "hand.toml")), predictor.scene.hand
    assert written.parameters == given.parameters
    np.testing.assert_array_equal(written.backlash_exponents, given.backlash_exponents)


def test_a_report_without_a_whole_block_has_no_tracks(calibration, damped_hand, tmp_path):
    log = calibration.predictor.log
    kept = (log.time < 14) | (log.time > 14.3)
    short = dataclasses.replace(
        log, time=log.time[kept], targets=log.targets[kept], joints=log.joints[kept]
    )
    predictor = Predictor(short, empty_scene(damped_hand), 1)
    write_report(dataclasses.replace(calibration, predictor=predictor), tmp_path / "report.html")
    assert "No held-out block is without gaps" in (tmp_path / "report.html").read_text()


def test_intervals_grow_where_blocks_disagree(calibration):
    space, found = calibration.predictor.space, calibration.fit
    known = intervals(found, space)
    least = np.minimum(known.curvature, space.deviation)
    assert np.all(known.deviation >= least) and np.all(known.low <= known.high)
    shifted = found.gradient * np.where(np.arange(len(found.gradient)) % 2, 9, -9)[:, None]
    other = intervals(fit_module.Fit(found.x, found.curvature, shifted, found.noise), space)
    assert np.median(other.bootstrap / known.bootstrap) > 3


@pytest.mark.slow
def test_from_a_plan_to_a_policy(damped_hand, tmp_path, capsys):
    def run(*words):
        with pytest.raises(SystemExit) as stop:
            main(list(map(str, words)))
        assert stop.value.code in (None, 0), capsys.readouterr().err

    plan, log, out = tmp_path / "plan.csv", tmp_path / "log.csv", tmp_path / "fit"
    run("hand", "record-plan", "--hand", damped_hand, "--out", plan, "--seconds", 60)
    targets = np.genfromtxt(plan, delimiter=",", skip_header=1)[:, 1:]
    twin = Twin(TwinConfig(hand=damped_hand, seed=1))
    recorded, hand = twin.play(targets), twin.scene.hand
    names = ["time", *(f"target_{a}" for a in hand.actuators), *(f"joint_{j}" for j in hand.joints)]
    table = np.c_[recorded.time, recorded.targets, recorded.joints]
    np.savetxt(log, table, delimiter=",", header=",".join(names), comments="")
    run("hand", "fit", "--hand", damped_hand, "--log", log, "--out", out)
    content = json.loads((out / "fit.json").read_text())
    assert content["error_1s_rad"]["before"] > 5 * content["error_1s_rad"]["after"]
    run("train-policy", "--hand", damped_hand, "--randomization", out / "ranges.toml",
        "--out", tmp_path / "run", "--num-envs", 8, "--horizon", 4, "--minibatches", 2,
        "--epochs", 1, "--max-actions", 128, "--eval-episodes", 0)  # fmt: skip
    assert (tmp_path / "run/metrics.csv").exists()


def test_a_robot_like_the_model_needs_no_fit(damped_hand, tmp_path, capsys):
    """Its model cannot be beaten, so that the fit is refused."""
    twin = Twin(TwinConfig(hand=damped_hand, max_delay=0.0, encoder_noise=0.005))
    space = {"actuator_gain": 1.0, "joint_damping": 1.0, "link_mass": 1.0, "joint_offset": 0.0}
    for name, value in space.items():
        getattr(twin.physics, name)[:] = value
    twin.physics.backlash[:] = 0.0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit_module, "STAGES", ((6.0, 1.5, 30.0, 1),))
        log = twin.play(make_plan(damped_hand, PlanConfig(seconds=24)))
        calibration = calibrate(log, damped_hand, threads=1, progress=False)
    assert "that of the model as it is" in calibration.refusal
    write_report(calibration, tmp_path / "report.html")
    assert "refused" in Path(tmp_path / "report.html").read_text()
