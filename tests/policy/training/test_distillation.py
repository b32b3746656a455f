"""Distillation from another policy, or from the teacher of another run."""

import dataclasses

import pytest
import torch

from opendactyl.core.errors import InputError
from opendactyl.models.weights import save_weights
from opendactyl.policy.collection.collector import Collector
from opendactyl.policy.env.critic_observation import critic_size
from opendactyl.policy.env.env import HandEnv
from opendactyl.policy.loading import load_student
from opendactyl.policy.training.checkpoints import load_checkpoint
from opendactyl.policy.training.distillation import Distillation
from opendactyl.policy.training.ppo import add_advantages
from opendactyl.policy.training.train import train
from opendactyl.policy.training.trainer import Trainer
from opendactyl.sim.hands.shipped import hand_spec


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
    (tmp_path / "c" / "config.json").write_text("{}")
    torch.save({"state_dict": {}}, tmp_path / "c" / "checkpoints" / "best.ckpt")
    with pytest.raises(InputError, match="not a checkpoint of train-policy"):
        train(dataclasses.replace(config, out=tmp_path / "d", teacher=tmp_path / "c"))


def without_fitting_critic(weights):
    """Weights of an agent whose critic observed 104 values."""
    cut = ("critic.dense.weight", "critic.normalizer.mean", "critic.normalizer.var")
    return {k: v[..., :104].contiguous() if k in cut else v for k, v in weights.items()}


@pytest.mark.parametrize("fits", [True, False])
def test_the_critic_learns_returns_where_the_teachers_observes_other_values(
    policy_run, tiny, tmp_path, fits
):
    path, weights = tmp_path / "policy.safetensors", load_student(policy_run)
    save_weights(weights if fits else without_fitting_critic(weights), path, {})
    config = tiny(teacher=path, teacher_fraction=0.0)
    state = Trainer(config, tmp_path).state
    assert state.teacher_values == fits
    env = HandEnv(config.environment(), 8)
    batch, _ = Collector(env, state.student, seed=0).collect(3)
    distillation = Distillation(state.student, state.teacher, config, state.teacher_values)
    distillation._add_targets(batch)
    target = state.student.critic.scale.inverse(batch["target"])
    if fits:
        critic = state.teacher.critic
        with torch.no_grad():
            value = critic(batch["critic"], batch["start"], *critic.initial_state(8))[0]
        torch.testing.assert_close(target, critic.scale.inverse(value))
    else:
        add_advantages(batch, config.gamma, config.gae_lambda)
        torch.testing.assert_close(target, batch["value_target"])
    run = train(config)
    assert load_checkpoint(run / "checkpoints/last.ckpt")["teacher_values"] == fits


def test_a_privileged_run_is_a_teacher_of_others(tiny, stages, tmp_path):
    options = {"teacher_fraction": 0.0, "memory": "none", "max_actions": 64}
    with pytest.raises(InputError, match="--privileged trains a teacher itself"):
        tiny(privileged=True).check()
    first = train(tiny(out=tmp_path / "a", privileged=True, distillation_fraction=0.0, **options))
    assert set(stages(first)) == {"ppo"}
    student = load_student(first)
    assert student["actor.dense.weight"].shape[1] == critic_size(hand_spec())
    run = train(tiny(teacher=first, **options))
    assert set(stages(run)) == {"clone", "ppo"}
    teacher = load_checkpoint(run / "checkpoints/last.ckpt")["teacher"]
    assert all(torch.equal(teacher[name], student[name]) for name in student)


def test_a_recurrent_teacher_keeps_its_memory_across_batches(
    policy_run, tiny, stages, tmp_path, monkeypatch
):
    path = tmp_path / "policy.safetensors"
    save_weights(load_checkpoint(policy_run / "checkpoints/best.ckpt")["student"], path, {})
    config = tiny(memory="none", teacher=path, teacher_fraction=0.0, distillation_fraction=0.5)
    trainer = Trainer(config, tmp_path)
    collector = Collector(trainer.env, trainer.state.student, seed=0)
    distillation = Distillation(trainer.state.student, trainer.state.teacher, config)
    batches = [collector.collect(3)[0] for _ in range(2)]
    add_targets, seen = distillation._add_targets, []

    def recorded(batch):
        add_targets(batch)
        seen.append(batch["teacher_logp"])

    monkeypatch.setattr(distillation, "_add_targets", recorded)
    for batch in batches:
        distillation.update(batch, torch.Generator().manual_seed(0))
    actor = trainer.state.teacher.actor
    with torch.no_grad():
        start = torch.cat([batch["start"] for batch in batches], dim=1)
        observation = torch.cat([batch["policy"] for batch in batches], dim=1)
        logits = actor(observation, start, *actor.initial_state(len(observation)))[0]
    targets = torch.cat(seen, dim=1)
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
