"""The goal-angle curriculum: growing, shrinking, and the first angle of pretrained policies."""

import csv
import dataclasses
import math
from pathlib import Path

import pytest
import torch
from tensordict import TensorDict

from opendactyl.models.weights import load_weights
from opendactyl.policy.collection.agent import Agent
from opendactyl.policy.env.episode_types import Difficulty
from opendactyl.policy.loading import make_actor
from opendactyl.policy.training import evaluation, trainer
from opendactyl.policy.training.checkpoints import load_checkpoint
from opendactyl.policy.training.config import PolicyConfig
from opendactyl.policy.training.curriculum import (
    AVERAGED_BATCHES,
    GROW_RATE,
    SHRINK_RATE,
    START_ANGLE,
    STEP,
    Curriculum,
    goal_rate,
)
from opendactyl.policy.training.evaluation import reachable_angle
from opendactyl.policy.training.train import train
from opendactyl.policy.training.trainer import Trainer

WEIGHTS = Path(__file__).parents[3] / "pretrained/weights/policy-reorient.safetensors"


def batch(goals, size=1000):
    """A batch of `size` actions, some of which reached a goal, and none of which failed."""
    reached = torch.zeros(size, 1, 1, dtype=torch.bool)
    reached[:goals] = True
    steps = {"failed": torch.zeros_like(reached), "strength": torch.ones_like(reached).float()}
    return TensorDict({"reached": reached, **steps}, [size, 1])


def test_one_batch_does_not_decide():
    curriculum = Curriculum(PolicyConfig(task="reorient"))
    assert goal_rate(batch(100)) == pytest.approx(10.0)
    for _ in range(AVERAGED_BATCHES - 1):
        curriculum.update(batch(0))
    curriculum.update(batch(50))  # 5 goals per hundred actions, 0.6 on average.
    assert curriculum.difficulty.max_angle == START_ANGLE


def test_the_angle_grows_and_shrinks_with_the_mean_goal_rate():
    curriculum = Curriculum(PolicyConfig(task="reorient"))
    fast, slow = round(10 * GROW_RATE) + 1, round(10 * SHRINK_RATE) - 1
    for _ in range(AVERAGED_BATCHES + 1):
        curriculum.update(batch(fast))
    assert curriculum.difficulty.max_angle == pytest.approx(START_ANGLE * STEP**2)
    curriculum.restart()
    for _ in range(AVERAGED_BATCHES):
        curriculum.update(batch(slow))
    assert curriculum.difficulty.max_angle == pytest.approx(START_ANGLE * STEP)
    curriculum.update(batch(slow), may_shrink=False)
    assert curriculum.difficulty.max_angle == pytest.approx(START_ANGLE * STEP)
    for _ in range(2 * AVERAGED_BATCHES):
        curriculum.update(batch(slow))
    assert curriculum.difficulty.max_angle == START_ANGLE
    curriculum.start_at(Difficulty(math.pi))
    for _ in range(2 * AVERAGED_BATCHES):
        curriculum.update(batch(fast))
    assert curriculum.difficulty.max_angle == math.pi


@pytest.mark.parametrize("strengthens", [True, False])
def test_the_angle_does_not_shrink_where_the_strength_does(strengthens):
    curriculum = Curriculum(
        PolicyConfig(task="reorient", randomization="dactyl", strength_curriculum=strengthens)
    )
    curriculum.start_at(Difficulty(math.pi, 0.5))
    for _ in range(AVERAGED_BATCHES + 1):
        curriculum.update(batch(0))
    assert (curriculum.difficulty.max_angle == math.pi) == strengthens


def test_other_tasks_have_no_curriculum():
    curriculum = Curriculum(PolicyConfig(task="spin"))
    for _ in range(2 * AVERAGED_BATCHES):
        curriculum.update(batch(0))
    assert curriculum.difficulty.max_angle == math.pi


@pytest.fixture
def short_probe(monkeypatch):
    monkeypatch.setattr(evaluation, "PROBE_HANDS", 8)
    monkeypatch.setattr(evaluation, "PROBE_ACTIONS", 60)


def test_the_first_angle_is_what_the_policy_can_do(tiny, short_probe):
    config = tiny(task="reorient", hidden=256)
    agent = Agent(50, hidden=256, memory="lstm", privileged=False)
    difficulty = Difficulty(START_ANGLE, 1.0)
    assert reachable_angle(agent, config, difficulty) == START_ANGLE
    agent.actor = make_actor(load_weights(WEIGHTS), 50)
    assert reachable_angle(agent, config, difficulty) == math.pi


def test_the_search_begins_at_the_first_angle_of_the_task(tiny, short_probe, monkeypatch):
    monkeypatch.setattr(evaluation, "PROBE_ACTIONS", 2)
    config = tiny(task="rotate-face", object="face-cube", randomization="adr")
    difficulty = Curriculum(config).difficulty
    agent = Agent(62, hinges=2, hidden=16, memory="none", privileged=False)
    collect, seen = evaluation.Collector.collect, []

    def recorded(collector, horizon, given):
        seen.append(given)
        return collect(collector, horizon, given)

    monkeypatch.setattr(evaluation.Collector, "collect", recorded)
    assert reachable_angle(agent, config, difficulty) == math.radians(15)
    assert all(given.bounds is difficulty.bounds is not None for given in seen)


def test_the_search_finds_the_angle_at_which_the_rate_falls(tiny, monkeypatch, short_probe):
    config = tiny(task="reorient")
    agent = Agent(50, hidden=16, memory="none", privileged=False)
    angles = []

    def rate_up_to_two_radians(_):
        return 3.0 if angles[-1] <= 2.0 else 0.0

    collect = evaluation.Collector.collect

    def recorded(collector, horizon, difficulty):
        assert collector.env.difficulty == difficulty == Difficulty(difficulty.max_angle, 0.4)
        angles.append(difficulty.max_angle)
        return collect(collector, 1, difficulty)

    monkeypatch.setattr(evaluation.Collector, "collect", recorded)
    monkeypatch.setattr(evaluation, "goal_rate", rate_up_to_two_radians)
    assert 1.9 < reachable_angle(agent, config, Difficulty(START_ANGLE, 0.4)) <= 2.0


def test_a_warm_start_from_weights_does_not_restart_the_curriculum(tiny, short_probe):
    options = {"task": "reorient", "teacher_fraction": 0.0, "distillation_fraction": 0.0}
    run = train(tiny(warm_start=WEIGHTS, max_actions=32, **options))
    assert load_checkpoint(run / "checkpoints/last.ckpt")["max_angle"] == math.pi


def test_a_resumed_run_measures_the_angle_of_its_teacher(tiny, monkeypatch):
    monkeypatch.setattr(trainer, "reachable_angle", lambda *_: 2.0)
    config, iterate = tiny(task="reorient", warm_start=WEIGHTS, max_actions=320), Trainer._iterate

    def interrupt(run):
        if run.state.actions == 64:
            raise KeyboardInterrupt
        return iterate(run)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_iterate", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(config)
    run = train(dataclasses.replace(config, resume=True))
    with (run / "metrics.csv").open(newline="") as file:
        angles = [float(row["max_angle"]) for row in csv.DictReader(file)]
    # Five iterations of the teacher, which begins at 1 rad; it is measured before it is imitated.
    assert angles == [START_ANGLE] * 5 + [2.0] * 5


def test_a_teacher_from_random_weights_starts_at_the_first_angle(tiny, short_probe):
    run = train(tiny(task="reorient", warm_start=WEIGHTS, max_actions=32))
    rows = (run / "metrics.csv").read_text().splitlines()
    column = rows[0].split(",").index("max_angle")
    assert float(rows[1].split(",")[column]) == START_ANGLE
