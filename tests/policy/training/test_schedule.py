"""Step size, discount and averaged weights in the course of a training."""

import copy

import pytest
import torch

from opendactyl.policy.collection.agent import Agent
from opendactyl.policy.collection.collector import Collector
from opendactyl.policy.env.env import HandEnv
from opendactyl.policy.training import ppo
from opendactyl.policy.training.checkpoints import load_checkpoint
from opendactyl.policy.training.config import PolicyConfig
from opendactyl.policy.training.distillation import Distillation
from opendactyl.policy.training.evaluation import PeriodicEvaluation
from opendactyl.policy.training.schedule import FACTOR, FIRST, LARGEST, SMALLEST, Schedule, averaged
from opendactyl.policy.training.train import train


@pytest.fixture
def make():
    """A schedule of the given settings, and a function that reads the step size."""

    def make(**options):
        optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))])
        schedule = Schedule(PolicyConfig(**options), optimizer)

        def step_size(progress=0.0):
            schedule.apply(progress)
            return optimizer.param_groups[0]["lr"]

        return schedule, step_size

    return make


def test_the_step_size_decays_linearly(make):
    _, step_size = make(target_kl=0.0)
    sizes = [step_size(progress) for progress in (0.0, 0.25, 0.5, 1.0, 1.1)]
    assert sizes == pytest.approx([5e-4, 4e-4, 3e-4, 1e-4, 1e-4])
    _, step_size = make(target_kl=0.0, learning_rate=5e-5)
    assert [step_size(progress) for progress in (0.0, 0.5, 1.0)] == pytest.approx([5e-5] * 3)


def test_the_step_size_follows_the_divergence_of_the_policy(make):
    schedule, step_size = make()
    for kl in (0.007, 0.014):  # Between two thirds and one and a half of the target, 0.01.
        schedule.follow(kl)
        assert step_size() == pytest.approx(FIRST * 5e-4)
    schedule.follow(0.006)
    assert step_size() == pytest.approx(FIRST * FACTOR * 5e-4)
    for _ in range(2):
        schedule.follow(0.016)
    assert step_size() == pytest.approx(FIRST / FACTOR * 5e-4)
    for kl, limit in ((1.0, SMALLEST), (0.0, LARGEST)):
        for _ in range(30):
            schedule.follow(kl)
        assert step_size() == pytest.approx(limit * 5e-4)
        assert step_size(1.0) == pytest.approx(limit * 1e-4)
    schedule, step_size = make(target_kl=0.0)
    schedule.follow(1.0)
    assert step_size() == 5e-4


def test_after_a_divergence_the_step_size_has_a_smaller_limit(make):
    schedule, step_size = make()
    schedule.shrink(0.3)
    assert step_size() == pytest.approx(FIRST * 1.5e-4)
    for _ in range(30):
        schedule.follow(0.0)
    assert step_size() == pytest.approx(0.3 * LARGEST * 5e-4)


def test_the_discount_grows(make):
    schedule, _ = make(final_gamma=0.998)
    assert [schedule.gamma(p) for p in (0.0, 0.5, 1.0, 2.0)] == pytest.approx(
        [0.99, 0.994, 0.998, 0.998]
    )
    schedule, _ = make(gamma=0.995)
    assert [schedule.gamma(p) for p in (0.0, 1.0)] == [0.995, 0.995]


def test_training_applies_the_schedule(tiny, monkeypatch):
    gammas, add_advantages = [], ppo.add_advantages

    def recorded(batch, gamma, gae_lambda):
        gammas.append(gamma)
        add_advantages(batch, gamma, gae_lambda)

    monkeypatch.setattr(ppo, "add_advantages", recorded)
    run = train(tiny(target_kl=0.0, final_gamma=0.998, distillation_fraction=0.25))
    last = load_checkpoint(run / "checkpoints/last.ckpt")
    # Two iterations of the teacher, one of distillation, one of PPO.
    assert gammas == pytest.approx([0.99, 0.992, 0.996])
    assert last["optimizers"]["ppo"]["param_groups"][0]["lr"] == pytest.approx(2e-4)


def test_the_step_size_of_distillation_is_constant(tiny):
    config, agent = tiny(), Agent(50, hidden=8, memory="none", privileged=False)
    teacher = Agent(50, hidden=8, memory="none", privileged=True)
    distillation = Distillation(agent, teacher, config)
    batch, _ = Collector(HandEnv(config.environment(), 8), agent, seed=0).collect(2)
    for progress in (0.2, 0.6):
        distillation.update(batch.clone(), torch.Generator().manual_seed(0), progress)
        assert distillation.optimizer.param_groups[0]["lr"] == config.learning_rate


def test_averaged_weights_are_a_moving_average_with_normalisers():
    torch.manual_seed(0)
    first = Agent(50, hidden=8, memory="lstm", privileged=False)
    average, second = averaged(first, 0.9), copy.deepcopy(first)
    average.update_parameters(first)
    with torch.no_grad():
        for value in (*second.parameters(), second.actor.normalizer.mean):
            value += torch.randn_like(value)
    average.update_parameters(second)
    old, new = first.state_dict(), second.state_dict()
    for name, value in average.module.state_dict().items():
        torch.testing.assert_close(value, 0.9 * old[name] + 0.1 * new[name])


def module_weights(checkpoint):
    prefix = "module."
    return {
        name.removeprefix(prefix): value
        for name, value in checkpoint["average"].items()
        if name.startswith(prefix)
    }


def same(first, second):
    assert first.keys() == second.keys()
    return all(first[name].equal(second[name]) for name in first)


@pytest.mark.parametrize("averaging", [0.0, 0.9])
def test_the_best_checkpoint_holds_the_averaged_weights(tiny, averaging):
    run = train(tiny(averaging=averaging))
    last, best = (load_checkpoint(run / f"checkpoints/{name}.ckpt") for name in ("last", "best"))
    assert same(best["student"], module_weights(last))
    assert same(best["student"], last["student"]) == (averaging == 0.0)


def test_the_averaged_weights_are_evaluated(tiny, monkeypatch):
    evaluated, mean_goals = [], PeriodicEvaluation.mean_goals

    def recorded(evaluation, agent, seconds):
        evaluated.append(copy.deepcopy(agent.state_dict()))
        return mean_goals(evaluation, agent, seconds)

    monkeypatch.setattr(PeriodicEvaluation, "mean_goals", recorded)
    run = train(tiny(eval_episodes=1))
    best = load_checkpoint(run / "checkpoints/best.ckpt")
    assert len(evaluated) == 1 and same(evaluated[0], best["student"])
    assert not same(evaluated[0], load_checkpoint(run / "checkpoints/last.ckpt")["student"])
