"""Trainings that diverge go back to their last checkpoint, a few times."""

import csv
import dataclasses

import pytest
import torch

from opendactyl.core.errors import EnvironmentFailure
from opendactyl.policy.training import trainer as module
from opendactyl.policy.training.checkpoints import load_checkpoint
from opendactyl.policy.training.ppo import PPO, Diverged
from opendactyl.policy.training.schedule import LARGEST, LIMIT, SCALE
from opendactyl.policy.training.train import train
from opendactyl.policy.training.trainer import MAX_DIVERGENCES, SMALLER_STEP


@pytest.fixture
def diverge(monkeypatch):
    """Has the updates of the given numbers diverge, with ruined weights; counts all."""
    monkeypatch.setattr(module, "CHECKPOINT_SECONDS", 0.0)
    update, calls = PPO.update, []

    def at(numbers):
        def ruined(learner, *arguments):
            calls.append(len(calls))
            if calls[-1] not in numbers:
                return update(learner, *arguments)
            with torch.no_grad():
                for parameter in learner.agent.parameters():
                    parameter.fill_(torch.nan)
            raise Diverged("a gradient is not finite")

        monkeypatch.setattr(PPO, "update", ruined)
        return calls

    return at


def only_ppo(tiny):
    return tiny(teacher_fraction=0.0, distillation_fraction=0.0, target_kl=0.0)


def groups(run):
    return load_checkpoint(run / "checkpoints/last.ckpt")["optimizers"]["ppo"]["param_groups"]


def test_a_diverged_training_continues_from_its_last_checkpoint(tiny, diverge, caplog):
    calls = diverge({2})
    run = train(only_ppo(tiny))
    assert len(calls) == 5
    assert "diverged (a gradient is not finite); it continues from 64 actions" in caplog.text
    with (run / "metrics.csv").open(newline="") as file:
        assert [int(row["actions"]) for row in csv.DictReader(file)] == [32, 64, 96, 128]
    for name in ("last", "best"):
        value = load_checkpoint(run / f"checkpoints/{name}.ckpt")
        assert value["divergences"] == 1 and value["actions"] == 128
        assert all(torch.isfinite(weights).all() for weights in value["student"].values())
    # Later checkpoints keep the smaller step and its limit.
    group = groups(run)[0]
    assert group[SCALE] == pytest.approx(SMALLER_STEP)
    assert group[LIMIT] == pytest.approx(SMALLER_STEP * LARGEST)


def test_the_first_iteration_of_a_stage_may_diverge(tiny, diverge, stages):
    # Two of the teacher, one of the student after a cloned batch.
    diverge({2})
    assert stages(train(tiny())) == ["teacher"] * 2 + ["clone"] + ["ppo"]


def test_a_training_that_keeps_diverging_is_a_failure_of_the_environment(tiny, diverge):
    calls, config = diverge(range(2, 100)), only_ppo(tiny)
    with pytest.raises(EnvironmentFailure, match=r"diverged 4 times.*--learning-rate") as raised:
        train(config)
    assert "\n" not in str(raised.value)
    assert MAX_DIVERGENCES == 3 and len(calls) == 2 + 4
    last = load_checkpoint(config.folder / "checkpoints/last.ckpt")
    assert (last["divergences"], last["actions"]) == (3, 64)
    assert groups(config.folder)[0][SCALE] == pytest.approx(SMALLER_STEP**3)
    # A resumed run has no further attempts.
    with pytest.raises(EnvironmentFailure, match="diverged 4 times"):
        train(dataclasses.replace(config, resume=True))
    assert len(calls) == 2 + 4 + 1
