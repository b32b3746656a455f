"""Distillation from another policy, or from the teacher of another run."""

import dataclasses

import pytest
import torch

from opendactyl.core.errors import InputError
from opendactyl.models.weights import save_weights
from opendactyl.policy.collection.collector import Collector
from opendactyl.policy.training.checkpoints import load_checkpoint
from opendactyl.policy.training.distillation import Distillation
from opendactyl.policy.training.train import train
from opendactyl.policy.training.trainer import Trainer


def test_a_teacher_may_come_from_a_run_of_another_memory(policy_run, tiny, stages, tmp_path):
    config = tiny(memory="none", teacher=policy_run, teacher_fraction=0.0)
    assert set(stages(train(config))) == {"clone", "ppo"}
    loaded = load_checkpoint(tmp_path / "run/checkpoints/best.ckpt")["teacher"]
    expected = load_checkpoint(policy_run / "checkpoints/best.ckpt")["teacher"]
    assert all(torch.equal(loaded[name], expected[name]) for name in expected)
    without = dataclasses.replace(config, teacher=None)
    with pytest.raises(InputError, match="--distillation-fraction needs a teacher"):
        without.check()
    with pytest.raises(InputError, match="does not exist"):
        train(dataclasses.replace(config, out=tmp_path / "b", teacher=tmp_path / "nowhere"))
    (tmp_path / "c" / "checkpoints").mkdir(parents=True)
    torch.save({"state_dict": {}}, tmp_path / "c" / "checkpoints" / "best.ckpt")
    with pytest.raises(InputError, match="not a checkpoint of train-policy"):
        train(dataclasses.replace(config, out=tmp_path / "d", teacher=tmp_path / "c"))


def test_a_recurrent_teacher_keeps_its_memory_across_batches(policy_run, tiny, stages, tmp_path):
    path = tmp_path / "policy.safetensors"
    save_weights(load_checkpoint(policy_run / "checkpoints/best.ckpt")["student"], path, {})
    config = tiny(memory="none", teacher=path, teacher_fraction=0.0, distillation_fraction=0.5)
    trainer = Trainer(config, tmp_path)
    collector = Collector(trainer.env, trainer.student, seed=0)
    distillation = Distillation(trainer.student, trainer.teacher, config)
    batches = [collector.collect(3)[0] for _ in range(2)]
    for batch in batches:
        distillation.update(batch, torch.Generator().manual_seed(0))
    actor = trainer.teacher.actor
    with torch.no_grad():
        start = torch.cat([batch["start"] for batch in batches], dim=1)
        observation = torch.cat([batch["policy"] for batch in batches], dim=1)
        logits = actor(observation, start, *actor.initial_state(len(observation)))[0]
    targets = torch.cat([batch["teacher_logp"] for batch in batches], dim=1)
    torch.testing.assert_close(targets, torch.log_softmax(logits, dim=-1))
    assert set(stages(train(config))) == {"clone", "ppo"}
    with pytest.raises(InputError, match="finished policy; it needs --teacher-fraction 0"):
        dataclasses.replace(config, teacher_fraction=0.2).check()
    with pytest.raises(InputError, match="networks of another shape; --layout and --hidden"):
        train(dataclasses.replace(config, out=tmp_path / "b", layout="d18"))
    with pytest.raises(InputError, match="cannot read weights"):
        train(dataclasses.replace(config, out=tmp_path / "c", teacher=tmp_path / "no.safetensors"))
    # No folder is left that would refuse the corrected command.
    assert not (tmp_path / "b").exists() and not (tmp_path / "c").exists()
