"""Automatic domain randomization of the physics: ranges, boundary episodes, scores, resuming."""

import csv
import dataclasses

import numpy as np
import pytest
import torch

from opendactyl.core.adr_bounds import Bound
from opendactyl.core.errors import InputError
from opendactyl.policy.env.env import HandEnv
from opendactyl.policy.env.episode_types import Difficulty, EnvConfig
from opendactyl.policy.randomization import adr
from opendactyl.policy.randomization.config import PRESETS, load_randomization
from opendactyl.policy.randomization.groups import GROUPS
from opendactyl.policy.training.train import train

BASE = PRESETS["dactyl"]
SENSING = [f for g in ("fingertips", "joints", "pose") for f in GROUPS[g]]


def snapshot(extent, probability=0.5):
    """All bounds at one extent."""
    bounds = adr.new_bounds(adr.ADR_PRESETS["adr"]).snapshot()
    return bounds._replace(
        extents=dict.fromkeys(bounds.extents, extent), boundary_probability=probability
    )


def test_every_group_of_body_and_actuation_is_a_parameter():
    fields = {f for fields in (adr.FACTORS | adr.LEVELS).values() for f in fields}
    varied = {f.name for f in dataclasses.fields(BASE)} - set(SENSING)
    fixed = {
        "actuator_failure", "actuator_delay", "backlash", "backlash_up", "backlash_calibrated",
        "backlash_jitter", "force_scale", "force_decay", "hand", "joint_armature", "joint_friction",
    }  # fmt: skip
    assert fields == varied - fixed


def test_zero_extents_are_the_calibrated_hand_and_one_the_base():
    calibrated = adr.full_ranges(BASE, snapshot(0.0))
    for group, fields in (adr.FACTORS | adr.LEVELS).items():
        for name in fields:
            expected = 0.0 if name == "backlash_scale" else getattr(PRESETS["none"], name)
            assert getattr(calibrated, name) == expected, group
    for name in SENSING:
        assert getattr(calibrated, name) == getattr(BASE, name)
    assert adr.full_ranges(BASE, snapshot(1.0)) == BASE
    wide = adr.full_ranges(BASE, snapshot(2.0))
    assert wide.object_mass == pytest.approx((0.25, 2.25))
    assert wide.action_delay == 1.0
    assert wide.backlash_scale == 2.0


def test_an_episode_at_a_bound_has_the_bounds_value():
    pinned = snapshot(1.0, probability=1.0)
    seen = set()
    for episode in range(300):
        ranges, boundary = adr.sample_ranges(np.random.default_rng(episode), BASE, pinned)
        assert boundary is not None
        parameter, end = boundary.bound
        seen.add(boundary.bound)
        if parameter in adr.FACTORS:
            for name in adr.FACTORS[parameter]:
                value = getattr(BASE, name)[end == "high"]
                assert getattr(ranges, name) == pytest.approx((value, value))
        else:
            for name in adr.LEVELS[parameter]:
                assert getattr(ranges, name) == getattr(BASE, name)
    assert seen == set(pinned.extents)


def test_other_episodes_stay_within_the_bounds():
    levels = []
    for episode in range(300):
        ranges, boundary = adr.sample_ranges(
            np.random.default_rng(episode), BASE, snapshot(1.0, probability=0.0)
        )
        assert boundary is None
        assert ranges.object_size == BASE.object_size
        levels.append(ranges.joint_limits / BASE.joint_limits)
    assert 0 <= min(levels) < 0.05
    assert 0.95 < max(levels) <= 1
    assert np.mean(levels) == pytest.approx(0.5, abs=0.05)


@pytest.fixture(scope="module")
def env():
    return HandEnv(EnvConfig(task="reorient", randomization="dactyl"), 16, seed=3)


def roll_out(env, actions):
    rng = np.random.default_rng(0)
    return [env.step(rng.integers(0, 11, (env.num_envs, 20))) for _ in range(actions)]


def test_episodes_replay_exactly_and_depend_on_the_bounds(env):
    env.difficulty = Difficulty(bounds=snapshot(1.0))
    observations = [env.reset()[1]]
    boundaries = list(env.randomizer.boundaries)
    observations.append(env.reset()[1])
    np.testing.assert_array_equal(*observations)
    assert boundaries == env.randomizer.boundaries
    assert 2 <= sum(b is not None for b in boundaries) <= 14
    env.difficulty = Difficulty(bounds=snapshot(0.5))
    assert not np.array_equal(env.reset()[1], observations[0])


def test_each_boundary_episode_is_scored_once_after_the_given_actions(env):
    env.difficulty = Difficulty(bounds=snapshot(0.1, probability=1.0), score_actions=5)
    env.reset()
    first = {tuple(b) for b in env.randomizer.boundaries}
    steps = roll_out(env, 6)
    scores = [score for step in steps for score in step.scores]
    assert len(scores) == 16
    assert {tuple(score.boundary) for score in scores} == first
    assert all(score.goals >= 0 for score in scores)


def test_without_a_number_of_actions_the_whole_episode_counts(env):
    env.difficulty = Difficulty(bounds=snapshot(0.1, probability=1.0))
    env.reset()
    ended = 0
    for step in roll_out(env, 120):  # random actions drop the block, or the time is up
        now = int((step.terminated | step.truncated).sum())
        assert len(step.scores) == now
        ended += now
    assert ended > 0


@pytest.fixture
def eager(monkeypatch):
    """Bounds that widen after every score."""
    settings = adr.PolicyAdr(buffer=1, widen=0.0, narrow=-1.0, step=0.1, score_actions=2)
    monkeypatch.setitem(adr.ADR_PRESETS, "adr", settings)


def test_a_run_widens_its_ranges_and_resumes_them(tiny, eager):
    config = tiny(randomization="adr", max_actions=512, teacher_fraction=0.0,
                  distillation_fraction=0.0)  # fmt: skip
    run = train(config)
    with (run / "adr.csv").open() as file:
        rows = list(csv.DictReader(file))
    saved = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["bounds"]
    assert float(rows[-1]["mass/high"]) == saved["mass/high"]["extent"]
    assert max(bound["extent"] for bound in saved.values()) > 0
    ranges = load_randomization(str(run / "ranges.toml"))
    assert ranges.object_mass[1] == pytest.approx(1.5 ** saved["mass/high"]["extent"])
    assert ranges.joint_limits == pytest.approx(0.15 * saved["limits/high"]["extent"])
    with (run / "adr_scores.csv").open() as file:
        scores = list(csv.DictReader(file))
    metrics = (run / "metrics.csv").read_text().count("\n") - 1
    assert len(scores) == metrics and set(scores[0]) == {"actions", *saved}
    report = (run / "report" / "report.html").read_text()
    assert "Mean score in the buffer of each bound" in report
    train(dataclasses.replace(config, resume=True, max_actions=1024))
    later = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["bounds"]
    assert all(later[k]["extent"] >= saved[k]["extent"] for k in saved)
    assert sum(b["version"] for b in later.values()) > sum(b["version"] for b in saved.values())


def test_evaluation_needs_the_ranges_of_a_run():
    with pytest.raises(InputError, match=r"ranges\.toml"):
        load_randomization("adr")


def test_extents_can_be_read_by_bound():
    assert Bound("mass", "low") in snapshot(0.3).extents
    assert Bound("backlash", "low") not in snapshot(0.3).extents
