"""The curriculum of randomization strength: evidence, checkpoints, and warm starts."""

import csv
import dataclasses
import math

import pytest
import torch
from tensordict import TensorDict

from opendactyl.core.atomic_files import write_json
from opendactyl.policy.env.env import HandEnv
from opendactyl.policy.env.episode_types import Difficulty
from opendactyl.policy.training.checkpoints import load_checkpoint
from opendactyl.policy.training.config import WEAKER_FRACTION, PolicyConfig
from opendactyl.policy.training.curriculum import FAILURES, START_STRENGTH, Curriculum
from opendactyl.policy.training.train import train
from opendactyl.policy.training.trainer import Trainer


def batch(goals, failures, strength=1.0, size=4000):
    """A batch of `size` actions at one strength, some of which reached a goal or failed."""
    flags = torch.zeros(2, size, 1, 1, dtype=torch.bool)
    flags[0, :goals] = flags[1, :failures] = True
    return TensorDict(
        {
            "reached": flags[0],
            "failed": flags[1],
            "strength": torch.full((size, 1, 1), strength, dtype=torch.float32),
        },
        [size, 1],
    )


@pytest.fixture
def curriculum():
    curriculum = Curriculum(PolicyConfig(randomization="dactyl"))
    assert curriculum.difficulty == Difficulty(math.pi, START_STRENGTH)
    curriculum.start_at(Difficulty(strength=0.5))
    return curriculum


@pytest.mark.parametrize(
    ("goals", "failures", "change"),
    [
        (12 * 32 + 1, 31, 0.02 * (1 + math.log2(385 / 31 / 12))),
        (24 * 32, 32, 0.04),
        (48 * 32, 32, 0.06),
        (3999, 32, 0.08),
        (12 * 32, 0, 0.08),
        (12 * 32, 32, 0.0),
        (6 * 32, 32, 0.0),
        (6 * 32 - 1, 32, -0.02),
        (0, 32, -0.02),
        (0, 31, 0.0),
        (12 * 31, 31, 0.0),
    ],
)
def test_the_strength_follows_the_goals_per_failure(curriculum, goals, failures, change):
    curriculum.update(batch(goals, failures))
    assert curriculum.difficulty[:2] == (math.pi, pytest.approx(0.5 + change, abs=1e-3))


def test_evidence_accumulates_over_batches_and_is_used_once(curriculum):
    for number in range(1, 9):
        curriculum.update(batch(0, 8))
        shrunk = number * 8 // FAILURES
        assert curriculum.difficulty.strength == pytest.approx(0.5 - 0.02 * shrunk)
    curriculum.update(batch(0, FAILURES - 1))
    curriculum.restart()
    curriculum.update(batch(0, FAILURES - 1))
    assert curriculum.difficulty.strength == pytest.approx(0.46)


def test_weaker_episodes_are_no_evidence(curriculum):
    for strength in (0.3, 0.47):
        curriculum.update(batch(0, 100, strength))
    assert curriculum.difficulty.strength == 0.5
    curriculum.update(batch(0, 100, 0.481))
    assert curriculum.difficulty.strength == pytest.approx(0.48)


def test_the_strength_stays_within_its_limits(curriculum):
    for _ in range(20):
        curriculum.update(batch(0, 100), may_shrink=False)
    assert curriculum.difficulty.strength == 0.5
    for _ in range(20):
        curriculum.update(batch(0, 100))
    assert curriculum.difficulty.strength == START_STRENGTH == 0.2
    for _ in range(20):
        curriculum.update(batch(3900, 32))
    assert curriculum.difficulty.strength == 1.0


@pytest.mark.parametrize("options", [{}, {"randomization": "dactyl", "strength_curriculum": False}])
def test_without_the_curriculum_the_strength_is_full(options):
    config = PolicyConfig(**options)
    curriculum = Curriculum(config)
    curriculum.start_at(Difficulty(strength=0.5))
    for _ in range(5):
        curriculum.update(batch(0, 100))
    assert curriculum.difficulty.strength == 1.0
    assert config.environment().weaker_fraction == 0
    assert PolicyConfig(randomization="dactyl").environment().weaker_fraction == WEAKER_FRACTION


@pytest.fixture
def strengthened(tiny, monkeypatch):
    """A run that ended at a strength of 0.7."""
    config = tiny(
        task="reorient", randomization="dactyl", teacher_fraction=0.0, distillation_fraction=0.0,
        max_actions=64,
    )  # fmt: skip
    with monkeypatch.context() as patch:
        patch.setattr(Curriculum, "_next_strength", lambda *_: 0.7)
        patch.setattr(Curriculum, "_next_angle", lambda *_: 1.5)
        train(config)
    return config


def test_the_strength_is_resumed(strengthened, monkeypatch):
    difficulties, restart = [], HandEnv._restart

    def recorded(env, ids):
        difficulties.append(env.difficulty)
        return restart(env, ids)

    monkeypatch.setattr(HandEnv, "_restart", recorded)
    run = train(dataclasses.replace(strengthened, resume=True, max_actions=128))
    assert set(difficulties) == {Difficulty(1.5, 0.7)}
    with (run / "metrics.csv").open(newline="") as file:
        strengths = [float(row["strength"]) for row in csv.DictReader(file)]
    assert strengths == [0.7] * 4
    last = load_checkpoint(run / "checkpoints/last.ckpt")
    assert (last["max_angle"], last["strength"]) == (1.5, 0.7)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, Difficulty(1.5, 0.7)),
        ({"randomization": "vision"}, Difficulty(1.5, START_STRENGTH)),
        ({"task": "spin"}, Difficulty(math.pi, START_STRENGTH)),
        ({"strength_curriculum": False}, Difficulty(1.5, 1.0)),
    ],
)
def test_a_warm_start_keeps_the_strength_under_the_same_task_and_physics(
    strengthened, tmp_path, options, expected
):
    config = dataclasses.replace(
        strengthened, out=tmp_path / "b", warm_start=strengthened.folder, **options
    )
    assert Trainer(config, config.folder).state.curriculum.difficulty == expected


def test_a_warm_start_from_automatic_randomization_begins_with_weak_ranges(strengthened, tmp_path):
    """It stores the ranges of `dactyl` as its unit, and no strength."""
    automatic = dataclasses.replace(strengthened, out=tmp_path / "a", randomization="adr")
    trainer = Trainer(automatic, automatic.folder)
    (automatic.folder / "checkpoints").mkdir(parents=True)
    write_json(automatic.folder / "config.json", automatic.lasting())
    trainer.state.save("best")
    config = dataclasses.replace(strengthened, out=tmp_path / "b", warm_start=automatic.folder)
    strength = Trainer(config, config.folder).state.curriculum.difficulty.strength
    assert strength == START_STRENGTH
