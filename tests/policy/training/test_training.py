"""Training: stages, output files, resuming and settings."""

import csv
import dataclasses
import json
import shutil
import time
from itertools import pairwise

import pytest

from opendactyl.core.errors import EnvironmentFailure, InputError
from opendactyl.policy.collection.agent import Agent
from opendactyl.policy.export import export_policy
from opendactyl.policy.training.checkpoints import load_checkpoint
from opendactyl.policy.training.evaluation import FIRST_SECONDS, PeriodicEvaluation
from opendactyl.policy.training.train import train
from opendactyl.policy.training.trainer import Trainer


def test_training_writes_the_documented_files(policy_run, stages):
    for name in ("config.json", "metrics.csv", "checkpoints/best.ckpt", "checkpoints/last.ckpt"):
        assert (policy_run / name).exists(), name
    assert list(policy_run.glob("events.out.tfevents.*"))
    report = (policy_run / "report" / "report.html").read_text()
    assert "<img" in report and "consecutive goals" in report
    assert set(stages(policy_run)) == {"teacher", "clone", "ppo"}


def test_resuming_continues_and_other_settings_are_refused(policy_run, tiny, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(policy_run, run)
    settings = tiny(out=run, max_actions=960, resume=True)
    before = load_checkpoint(run / "checkpoints/last.ckpt")
    train(settings)
    after = load_checkpoint(run / "checkpoints/last.ckpt")
    assert (before["actions"], after["actions"]) == (640, 960)
    assert after["seconds"] > before["seconds"]
    with pytest.raises(InputError, match="task: 'spin' there, 'reorient' now"):
        train(dataclasses.replace(settings, task="reorient"))
    with pytest.raises(InputError, match="not empty"):
        train(dataclasses.replace(settings, resume=False))


def test_stages_divide_the_actions(policy_run, stages):
    assert stages(policy_run) == ["teacher"] * 9 + ["clone"] * 4 + ["ppo"] * 7


def test_no_stage_is_skipped_with_a_tiny_budget(tiny, stages):
    config = tiny(max_actions=0, max_minutes=1e-6)
    assert stages(train(config)) == ["teacher", "clone", "ppo"]


def test_stages_with_fraction_zero_are_omitted(tiny, stages):
    config = tiny(teacher_fraction=0.0, distillation_fraction=0.0)
    assert set(stages(train(config))) == {"ppo"}


def test_a_changed_randomization_file_does_not_affect_a_running_training(tiny, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("gravity = 0.1")
    config = tiny(randomization=str(path))
    config.check()
    path.unlink()
    assert config.environment().distributions().gravity == 0.1


@pytest.mark.parametrize("max_minutes", [60.0, 1e-4])
def test_resuming_a_finished_run_does_nothing(policy_run, tiny, max_minutes):
    config = json.loads((policy_run / "config.json").read_text())
    before = load_checkpoint(policy_run / "checkpoints/last.ckpt")
    assert "max_actions" not in config and "ray" not in config
    done = tiny(out=policy_run, max_actions=640, max_minutes=max_minutes, resume=True)
    train(done)
    assert load_checkpoint(policy_run / "checkpoints/last.ckpt")["actions"] == before["actions"]


def test_a_larger_budget_never_returns_to_an_earlier_stage(policy_run, tiny, tmp_path):
    shutil.copytree(policy_run, tmp_path / "run")
    longer = tiny(max_actions=6400, resume=True)
    trainer = Trainer(longer, tmp_path / "run")
    assert trainer.stage == "teacher"
    trainer.load()
    assert trainer.progress < longer.teacher_fraction
    assert trainer.stage == "ppo"
    assert trainer.env.first_episode > 0


def test_stages_go_on_with_new_episodes(tiny, monkeypatch):
    firsts, make = [], Trainer._make_collector

    def recorded(trainer, agent, seed):
        collector = make(trainer, agent, seed)
        firsts.append((trainer.env.first_episode, int(trainer.env.episode.max())))
        return collector

    monkeypatch.setattr(Trainer, "_make_collector", recorded)
    train(tiny(max_actions=640))
    assert len(firsts) == 3
    assert all(first[0] > before[1] for before, first in pairwise(firsts))


def test_the_best_policy_is_the_one_with_most_goals_in_an_evaluation(policy_run, tmp_path):
    with (policy_run / "metrics.csv").open() as file:
        evaluated = [row["examined_goals"] for row in csv.DictReader(file)]
    assert evaluated[-1], "a finished run is evaluated"
    best = load_checkpoint(policy_run / "checkpoints/best.ckpt")["best"]
    assert best == max(float(goals) for goals in evaluated if goals)


def test_evaluations_take_a_small_fraction_of_the_time(policy_run, tiny):
    config = tiny(eval_episodes=2)
    agent = Agent(50, hidden=256, memory="lstm", privileged=False)
    agent.load_state_dict(load_checkpoint(policy_run / "checkpoints/best.ckpt")["student"])
    evaluation = PeriodicEvaluation(config)
    assert not evaluation.due(FIRST_SECONDS / 2, finished=False)
    assert evaluation.due(10.0, finished=True)
    began = time.monotonic()
    assert 0 <= evaluation.mean_goals(agent, 10.0) <= 50
    spent = time.monotonic() - began
    assert not evaluation.due(10.0 + 11 * spent, finished=False)
    assert evaluation.due(10.0 + 14 * spent, finished=False)
    assert not PeriodicEvaluation(tiny()).due(1e9, finished=True)


def test_runs_older_than_a_setting_can_be_resumed(policy_run, tiny, tmp_path):
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    settings = json.loads((policy_run / "config.json").read_text())
    for name in ("smoothing", "action", "seconds_per_goal", "start_actions"):
        del settings[name]
    (run / "config.json").write_text(json.dumps(settings))
    config = tiny(out=run, resume=True, max_actions=32)
    train(config)
    with pytest.raises(InputError, match=r"smoothing: 'absent' there, 0\.3 now"):
        train(dataclasses.replace(config, smoothing=0.3))


def test_training_under_randomization_keeps_the_distributions(tiny, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('preset = "vision"\ngravity = 0.1\n')
    config = tiny(randomization=str(path))
    run = train(config)
    assert json.loads((run / "config.json").read_text())["distributions"]["gravity"] == 0.1
    path.write_text('preset = "vision"\ngravity = 0.2\n')
    with pytest.raises(InputError, match="distributions"):
        train(dataclasses.replace(config, resume=True, max_actions=256))


def test_dactyls_settings_train_and_the_export_has_their_actions(tiny, tmp_path):
    config = tiny(task="face-up", layout="d18", action="relative",
        smoothing=0.3, start_actions=100, randomization="dactyl", gamma=0.998,
    )  # fmt: skip
    about = export_policy(train(config), tmp_path / "policy.onnx")
    assert about["action"]["mode"] == "relative" and about["action"]["smoothing"] == 0.3
    assert sum(field["size"] for field in about["observation"]) == 22


@pytest.mark.parametrize(
    "options",
    [
        {"task": "juggle"},
        {"memory": "elephant"},
        {"layout": "x"},
        {"num_envs": 7},
        {"max_minutes": 0.0},
        {"teacher_fraction": 0.9, "distillation_fraction": 0.2},
        {"minibatches": 0},
        {"epochs": 0},
        {"seed": -1},
        {"gamma": 2.0},
        {"final_gamma": 2.0},
        {"learning_rate": float("nan")},
        {"final_learning_rate": 0.0},
        {"target_kl": -1.0},
        {"averaging": 1.0},
        {"critic_memory": "elephant"},
        {"max_goals": 0},
        {"randomization": "absurd"},
        {"action": "sideways"},
        {"smoothing": 1.0},
        {"seconds_per_goal": 0.0},
        {"max_actions": -1},
        {"ray_workers": 9},
        {"object": "banana"},
        {"randomization": "nowhere.toml"},
    ],
)
def test_impossible_settings_are_refused(options, tiny, tmp_path):
    with pytest.raises(InputError) as raised:
        train(tiny(**options))
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "run").exists()


def test_an_unreachable_cluster_is_a_failure_of_the_environment(tiny):
    pytest.importorskip("ray")
    config = tiny(ray="127.0.0.1:1")
    with pytest.raises(EnvironmentFailure, match=r"no Ray cluster at .127\.0\.0\.1:1"):
        train(config)
    assert not config.out.exists()
