"""A new critic beside a trained actor, and checkpoints of critics that observe other values."""

import shutil
from pathlib import Path

import pytest
import torch

from opendactyl.core.errors import InputError
from opendactyl.models.weights import load_weights, save_weights
from opendactyl.policy.loading import load_actor
from opendactyl.policy.training import evaluation, run_state
from opendactyl.policy.training.checkpoints import load_checkpoint
from opendactyl.policy.training.train import train

WEIGHTS = Path(__file__).parents[3] / "pretrained/weights/policy-reorient.safetensors"
WARNING = "observes other values; a new one is trained"


@pytest.fixture
def only_ppo(tiny, monkeypatch):
    """Settings that only run PPO, and a short search for the first angle."""
    monkeypatch.setattr(evaluation, "PROBE_HANDS", 8)
    monkeypatch.setattr(evaluation, "PROBE_ACTIONS", 10)
    return lambda **options: tiny(teacher_fraction=0.0, distillation_fraction=0.0, **options)


def of_actor(weights):
    return {name: value for name, value in weights.items() if name.startswith("actor.")}


def same(first, second):
    assert first.keys() == second.keys()
    return all(first[name].equal(second[name]) for name in first)


def test_a_trained_actor_is_kept_while_its_new_critic_is_trained(
    only_ppo, tmp_path, monkeypatch, caplog
):
    assert run_state.CRITIC_ACTIONS == 250_000
    monkeypatch.setattr(run_state, "CRITIC_ACTIONS", 96)
    before = of_actor(load_weights(WEIGHTS))
    options = {"task": "reorient", "warm_start": WEIGHTS}
    run = train(only_ppo(max_actions=64, **options))
    assert WARNING in caplog.text and str(WEIGHTS) in caplog.text
    for name in ("last", "best"):
        student = load_checkpoint(run / f"checkpoints/{name}.ckpt")["student"]
        assert same(of_actor(student), before)
    last = load_checkpoint(run / "checkpoints/last.ckpt")
    assert last["critic_actions"] == 32
    assert last["student"]["critic.normalizer.count"] > 60
    # A resumed run trains the critic alone for the rest, and then the actor too.
    train(only_ppo(max_actions=96, resume=True, **options))
    student = load_checkpoint(run / "checkpoints/last.ckpt")["student"]
    assert same(of_actor(student), before)
    train(only_ppo(max_actions=128, resume=True, **options))
    student = load_checkpoint(run / "checkpoints/last.ckpt")["student"]
    assert not same(of_actor(student), before)


def test_a_warm_start_from_a_run_keeps_its_critic(policy_run, only_ppo, caplog):
    run = train(only_ppo(warm_start=policy_run, max_actions=32))
    assert WARNING not in caplog.text
    last = load_checkpoint(run / "checkpoints/last.ckpt")
    assert last["critic_actions"] == 0
    before = load_checkpoint(policy_run / "checkpoints/best.ckpt")["student"]
    assert not same(of_actor(last["student"]), of_actor(before))


@pytest.fixture
def older_run(policy_run, tmp_path):
    """A run whose networks observed 104 values of the true state."""
    run = tmp_path / "older"
    shutil.copytree(policy_run, run)
    for path in (run / "checkpoints").glob("*.ckpt"):
        value = load_checkpoint(path)
        for agent, networks in (("student", ["critic"]), ("teacher", ["actor", "critic"])):
            for network in networks:
                for name in ("dense.weight", "normalizer.mean", "normalizer.var"):
                    key = f"{network}.{name}"
                    value[agent][key] = value[agent][key][..., :104].clone()
        del value["average"]
        torch.save(value, path)
    return run


def test_runs_whose_critic_observed_other_values_are_not_resumed(
    older_run, tiny, only_ppo, tmp_path, caplog
):
    with pytest.raises(InputError, match="observes other values; start a new run") as raised:
        train(tiny(out=older_run, resume=True, max_actions=960))
    message = str(raised.value)
    assert "\n" not in message
    advice = f"--teacher-fraction 0 --distillation-fraction 0 --warm-start {older_run}"
    assert advice in message
    run = train(only_ppo(out=tmp_path / "b", warm_start=older_run, max_actions=32))
    assert WARNING in caplog.text
    before = load_checkpoint(older_run / "checkpoints/best.ckpt")["student"]
    after = load_checkpoint(run / "checkpoints/last.ckpt")["student"]
    assert same(of_actor(after), of_actor(before))


def test_a_layout_with_more_fields_starts_as_the_policy_without_them(only_ppo, policy_run):
    config = only_ppo(layout="joints", warm_start=policy_run, precision="32-true")
    size = sum(config.environment().observation_fields.values())
    state = run_state.RunState(config, config.folder, size)
    old, _ = load_actor(policy_run)
    generator = torch.Generator().manual_seed(0)
    memory, before = state.student.actor.initial_state(5), old.initial_state(5)
    for _ in range(3):
        x, start = torch.randn(5, 1, size, generator=generator), torch.zeros(5, 1)
        logits, *memory = state.student.actor(x, start, *memory)
        expected, *before = old(x[..., : old.inputs], start, *before)
        torch.testing.assert_close(logits, expected)
    assert state.student.actor.inputs == old.inputs + 24


def test_weights_of_other_networks_are_not_taken_for_fewer_fields(only_ppo, tmp_path):
    path, weights = tmp_path / "weights.safetensors", load_weights(WEIGHTS)
    narrow = {"actor.dense.weight": weights["actor.dense.weight"][:, :22]}
    for changed, about in ((narrow, {}), (narrow, {"layout": "d18"}), ({}, {"layout": "none"})):
        save_weights(weights | changed, path, about)
        with pytest.raises(InputError, match="networks of another shape"):
            train(only_ppo(layout="joints", warm_start=path))


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"layout": "cube"}, "with --layout cube, --layout is default; use the same"),
        ({"action": "relative"}, "with --action relative, --action is absolute; use the same"),
        ({"smoothing": 0.3}, r"with --smoothing 0\.3, --smoothing is 0\.5; use the same"),
        (
            {"action": "absolute", "hand": "shadow-e3m5"},
            "with the hand shadow-e3m5 .*, --hand is shadow; use the same",
        ),
    ],
)
def test_a_teacher_that_means_something_else_is_refused(tiny, tmp_path, about, message):
    path = tmp_path / "weights.safetensors"
    save_weights(load_weights(WEIGHTS), path, about)
    with pytest.raises(InputError, match=message):
        train(tiny(teacher=path, teacher_fraction=0.0))


def test_a_run_is_no_teacher_of_other_actions_or_of_a_cubes_orientation(tiny, policy_run):
    for options in ({"action": "relative"}, {"layout": "cube"}):
        with pytest.raises(InputError, match=f"{policy_run} was trained with --.*; use the same"):
            train(tiny(teacher=policy_run, teacher_fraction=0.0, **options))


def test_a_warm_start_with_other_actions_is_reported(only_ppo, policy_run, caplog):
    config = only_ppo(warm_start=policy_run, smoothing=0.3)
    size = sum(config.environment().observation_fields.values())
    run_state.RunState(config, config.folder, size)
    assert "--smoothing 0.5, --smoothing is 0.3: what it has learned may not apply" in caplog.text


def test_a_layout_without_some_of_the_fields_is_refused(only_ppo, policy_run):
    with pytest.raises(InputError, match="networks of another shape; --memory, --layout"):
        train(only_ppo(layout="d18", task="spin", warm_start=policy_run))
