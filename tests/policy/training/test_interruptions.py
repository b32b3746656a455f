"""Interrupted and resumed training."""

import csv
import dataclasses
import shutil
import signal

import pytest

from opendactyl.policy.training.checkpoints import load_checkpoint
from opendactyl.policy.training.train import train
from opendactyl.policy.training.trainer import Trainer


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_loses_nothing(tiny, tmp_path, monkeypatch, how):
    config = tiny(max_actions=320)
    iterate, calls = Trainer._iterate, []

    def interrupt(trainer):
        calls.append(1)
        if len(calls) == 4:
            signal.raise_signal(how)
        return iterate(trainer)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_iterate", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(config)
    assert load_checkpoint(tmp_path / "run/checkpoints/last.ckpt")["actions"] == 3 * 32
    train(dataclasses.replace(config, resume=True))
    with (tmp_path / "run/metrics.csv").open(newline="") as file:
        actions = [int(row["actions"]) for row in csv.DictReader(file)]
    assert actions == list(range(32, 321, 32))


@pytest.mark.parametrize("stage", ["teacher", "clone"])
def test_an_interruption_between_two_stages_keeps_the_previous_one(
    tiny, tmp_path, monkeypatch, stages, stage
):
    config = tiny(max_actions=320)
    make = Trainer._make_collector

    def interrupted(trainer, agent, seed):
        if trainer.stage == stage:
            raise KeyboardInterrupt
        return make(trainer, agent, seed)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_make_collector", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(config)
    last = tmp_path / "run/checkpoints/last.ckpt"
    assert last.exists() == (stage == "clone")
    if last.exists():
        assert set(load_checkpoint(last)["optimizers"]) == {"teacher"}
    assert stages(train(dataclasses.replace(config, resume=True))) == (
        ["teacher"] * 5 + ["clone"] * 2 + ["ppo"] * 3
    )


def test_a_run_killed_before_its_first_checkpoint_has_no_duplicate_rows(tiny, tmp_path, stages):
    train(tiny())
    shutil.rmtree(tmp_path / "run/checkpoints")
    assert stages(train(tiny(resume=True))) == ["teacher"] * 2 + ["clone"] + ["ppo"]


def test_a_smaller_budget_than_was_used_skips_no_stage(tiny, tmp_path, monkeypatch, stages):
    iterate, calls = Trainer._iterate, []

    def interrupt(trainer):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(1)
        return iterate(trainer)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_iterate", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(tiny(max_actions=1000))
    run = train(tiny(max_actions=32, resume=True))
    assert stages(run) == ["teacher", "teacher", "clone", "ppo"]
    assert (run / "checkpoints/best.ckpt").exists()


@pytest.mark.parametrize("first", [True, False])
def test_an_interrupted_last_evaluation_leaves_usable_weights(tiny, tmp_path, monkeypatch, first):
    checkpoints = tmp_path / "run/checkpoints"
    if not first:
        train(tiny(eval_episodes=1))
    config = tiny(eval_episodes=1, max_actions=256, resume=not first)

    def interrupted(trainer):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_evaluate", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(config)
    assert load_checkpoint(checkpoints / "last.ckpt")["actions"] == 256
    assert (checkpoints / "best.ckpt").exists() != first
    train(dataclasses.replace(config, resume=True))
    # An evaluated student takes precedence over one that was not evaluated.
    assert load_checkpoint(checkpoints / "best.ckpt")["actions"] == (256 if first else 128)
