"""Decoding the object's size from a policy's memory."""

from pathlib import Path

import numpy as np
import pytest

from opendactyl.core.atomic_files import read_json
from opendactyl.policy import probe as module
from opendactyl.policy.probe import (
    bit_accuracy,
    classifier_accuracy,
    determination,
    majority_accuracy,
    physics_properties,
)
from opendactyl.policy.randomization.config import PRESETS
from opendactyl.policy.randomization.physics import sample
from opendactyl.sim.hands.shipped import hand_spec


def test_the_classifier_finds_information_only_where_it_is():
    rng = np.random.default_rng(0)
    larger = rng.random(800) < 0.5
    features = rng.normal(size=(800, 20)).astype(np.float32)
    assert classifier_accuracy(features, larger) == pytest.approx(0.5, abs=0.1)
    features[:, 3] += 2.0 * larger
    assert classifier_accuracy(features, larger) > 0.75


@pytest.fixture
def short(monkeypatch):
    """A probe of two moments with 16 hands."""
    monkeypatch.setattr(module, "STEPS", 10)
    monkeypatch.setattr(module, "ROUNDS", 2)
    monkeypatch.setattr(module, "HANDS", 8)
    monkeypatch.setattr(module, "SECONDS", (0.16, 0.4))


def test_the_probe_reports_every_time(policy_run, short, capsys):
    report = module.probe(policy_run)
    assert len(report["memory"]) == len(report["observation"]) == 2
    assert report["n"] == [16, 16]
    assert all(0 <= accuracy <= 1 for accuracy in report["memory"])
    properties = report["properties"]
    assert properties.keys() == {"delay", "backlash", "damping", "size"}
    assert properties["delay"].keys() == {"majority", "memory", "observation"}
    for name, scores in properties.items():
        for values in scores.values():
            assert len(values) == 2
            assert all(0 <= v <= 1 if name == "delay" else v <= 1 for v in values)
    module._print(report)
    printed = capsys.readouterr().out
    assert "delay, accuracy from majority" in printed and "backlash, R² from memory" in printed


def test_too_few_running_episodes_have_no_score(policy_run, short, monkeypatch):
    monkeypatch.setattr(module, "LEAST_EPISODES", 17)
    report = module.probe(policy_run)
    assert report["memory"] == report["properties"]["delay"]["majority"] == [None, None]
    module._print(report)


def test_weights_are_probed_beside_the_runs(short, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MUJOCO_GL", "disable")
    weights = Path(__file__).parents[2] / "pretrained" / "weights" / "policy-spin.safetensors"
    module.main(weights)
    assert read_json(tmp_path / "runs" / "probe-policy-spin.json")["n"] == [16, 16]


def test_bits_are_decoded_one_by_one():
    rng = np.random.default_rng(0)
    bits = (rng.random((800, 4)) < 0.5).astype(float)
    features = rng.normal(size=(800, 10)).astype(np.float32)
    assert bit_accuracy(features, bits) == pytest.approx(0.5, abs=0.06)
    features[:, :2] += 4 * bits[:, :2]
    assert bit_accuracy(features, bits) == pytest.approx(0.74, abs=0.06), "two of four"
    assert majority_accuracy(bits) == pytest.approx(0.5, abs=0.06)
    assert majority_accuracy(np.ones((8, 2))) == 1.0


def test_determination_is_one_for_what_is_known_and_zero_for_noise():
    rng = np.random.default_rng(0)
    values = rng.normal(5.0, 0.1, (800, 2))
    features = rng.normal(size=(800, 10)).astype(np.float32)
    assert determination(features, values) == pytest.approx(0.0, abs=0.1)
    features[:, 0] = 10 * values[:, 0]
    assert determination(features, values) == pytest.approx(0.5, abs=0.1), "one of two"


def test_properties_are_those_of_the_episode():
    physics = sample(np.random.default_rng(0), PRESETS["dactyl"], hand_spec(), ("palm", "F1", "F2"))
    properties = physics_properties([physics, physics], hand_spec())
    assert properties["delay"].shape == (2, 20)
    # Seven of OpenAI's exponents are below 2; the slack's width is the inverse of the rate.
    assert properties["backlash"].shape == (2, 7)
    assert np.exp(-properties["backlash"][0, -1]) == pytest.approx(physics.backlash[1, 16])
    assert properties["size"][0, 0] == pytest.approx(np.log(physics.object_size))
    assert properties["damping"][1, 0] == pytest.approx(np.log(physics.joint_damping).mean())


def test_a_missing_run_is_one_line(python, tmp_path):
    done = python("-m", "opendactyl.policy.probe", tmp_path / "no-run")
    assert done.returncode == 2
    assert done.stderr.startswith("opendactyl: ") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("value", ["nonsense", " Disable "])
def test_the_graphics_variable_is_checked_before_mujoco_reads_it(
    python, tmp_path, monkeypatch, value
):
    monkeypatch.setenv("MUJOCO_GL", value)
    done = python("-m", "opendactyl.policy.probe", tmp_path / "no-run")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert ("MUJOCO_GL is 'nonsense'" in done.stderr) == (value == "nonsense")


def test_debug_prints_the_traceback(python, tmp_path):
    done = python("-m", "opendactyl.policy.probe", "--debug", tmp_path)
    assert done.returncode == 2 and "Traceback" in done.stderr
