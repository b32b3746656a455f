"""Training of the action transformer on a real teacher, at toy size."""

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from opendactyl.control.evaluation.policies import load_policy, load_teacher
from opendactyl.control.packaging.build import export_bundle
from opendactyl.control.packaging.config import ExportConfig
from opendactyl.core.errors import InputError
from opendactyl.policy.env.env import HandEnv
from opendactyl.policy.msat.config import MsatConfig
from opendactyl.policy.msat.train import train
from opendactyl.policy.training.config import PolicyConfig
from opendactyl.policy.training.train import train as train_recurrent

SHIPPED = Path(__file__).parents[3] / "pretrained/reorient"
TOY = MsatConfig(
    num_envs=4, horizon=12, updates=1, batch_size=8, buffer=60, chunk=2, execute=2, euler_steps=1,
    max_actions=96, eval_episodes=0,
)  # fmt: skip


def toy(teacher, out, **settings):
    return dataclasses.replace(TOY, teacher=teacher, out=out, **settings)


@pytest.fixture(scope="module")
def run(policy_run, tmp_path_factory):
    config = toy(policy_run, tmp_path_factory.mktemp("msat") / "run")
    return train(config, load_teacher(policy_run))


def rows(run):
    with (run / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_run_has_metrics_seeds_a_report_and_the_settings_of_its_teacher(run, policy_run):
    settings = json.loads((run / "config.json").read_text())
    assert settings["driver"] == "msat" and settings["layout"] == "physics"
    assert settings["task"] == "spin" and settings["teacher"] == str(policy_run)
    logged = rows(run)
    assert [row["actions"] for row in logged] == ["48", "96"]
    assert [float(row["teacher_acts"]) for row in logged] == [1.0, 0.0]
    assert all(0 < float(row["loss"]) < 10 for row in logged)
    assert json.loads((run / "seeds.json").read_text()) == {"seeds": [0], "seeds_complete": True}
    assert "96 actions of 4 simulations" in (run / "report/report.html").read_text()


def test_a_resumed_run_continues(run, policy_run, content):
    teacher = load_teacher(policy_run)
    before = content(run)
    with pytest.raises(InputError, match="resume"):
        train(toy(policy_run, run), teacher)
    assert content(run) == before
    with pytest.raises(InputError, match="chunk: 2 there, 3 now"):
        train(toy(policy_run, run, chunk=3, resume=True), teacher)
    train(toy(policy_run, run, max_actions=144, resume=True), teacher)
    assert [row["actions"] for row in rows(run)] == ["48", "96", "144"]
    checkpoint = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    assert checkpoint["steps"] == 3 and checkpoint["next_episode"] >= 4
    # Without evaluations the last policy is the one that counts.
    best = torch.load(run / "checkpoints/best.ckpt", weights_only=True)
    assert best["steps"] == 3


def test_the_run_acts_as_a_policy(run):
    policy, environment = load_policy(run)
    env = HandEnv(environment, 2, seed=5)
    observation, _ = env.reset()
    policy.begin(2)
    start, acted = np.zeros(2, dtype=bool), []
    for _ in range(3):
        acted.append(policy.act(observation, start))
        observation = env.step(acted[-1]).policy
    assert np.shape(acted) == (3, 2, 20) and np.min(acted) >= 0 and np.max(acted) <= 10
    again = policy.act(observation, np.array([True, False]))
    assert not np.array_equal(again, acted[-1])


@pytest.mark.parametrize("network", ["mlp", "single"])
def test_networks_for_comparison_are_trained_alike(network, policy_run, tmp_path):
    config = toy(policy_run, tmp_path / "run", network=network, max_actions=48)
    assert train(config, load_teacher(policy_run)) == tmp_path / "run"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"task": "reorient"}, "trained with --task spin, and --task is reorient"),
        ({"hand": "allegro"}, "trained with --hand shadow, and --hand is allegro"),
        ({"teacher": None}, "name it with --teacher"),
        ({"execute": 9}, "--execute 9 is more than the --chunk 2"),
        ({"network": "gru"}, "no network 'gru'"),
        ({"network": "mlp", "physics": False}, "--network mlp has no physics stream"),
        ({"learning_rate": 2.0}, r"--learning-rate is 2.0; it must be in \(0, 1\)"),
        ({"buffer": 20}, "at least twice"),
    ],
)
def test_bad_settings_are_refused_and_leave_nothing(settings, message, policy_run, tmp_path):
    with pytest.raises(InputError, match=message):
        train(
            dataclasses.replace(toy(policy_run, tmp_path / "run"), **settings),
            load_teacher(policy_run),
        )
    assert not (tmp_path / "run").exists()


def test_its_weights_do_not_serve_recurrent_policies(run, tmp_path):
    for name in ("warm_start", "teacher"):
        config = PolicyConfig(out=tmp_path / "run", num_envs=4, **{name: run})
        with pytest.raises(InputError, match="holds an action transformer"):
            train_recurrent(config)
    with pytest.raises(InputError, match="leave --weights out"):
        export_bundle(
            ExportConfig(vision=SHIPPED, policy=run, out=tmp_path / "b", weights=tmp_path / "w")
        )
    assert not (tmp_path / "b").exists() and not (tmp_path / "w").exists()


def test_a_teacher_of_another_layout_or_kind_is_refused(run, policy_run, tmp_path):
    teacher = load_teacher(policy_run)
    other = dataclasses.replace(teacher.environment, layout="joints")
    with pytest.raises(InputError, match="has layout joints"):
        train(toy(policy_run, tmp_path / "run"), dataclasses.replace(teacher, environment=other))
    with pytest.raises(InputError, match="has layout physics"):
        train(toy(run, tmp_path / "run"), load_teacher(run))
    with pytest.raises(InputError, match="does not exist"):
        load_teacher(tmp_path / "nothing")
