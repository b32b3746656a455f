"""The comparison of the action transformer: paired statistics, and the study at toy size."""

import dataclasses

import numpy as np
import pytest

from opendactyl.benchmarks.studies import msat
from opendactyl.benchmarks.studies.msat import StudyConfig, compare, make_table, run
from opendactyl.core.atomic_files import read_json
from opendactyl.core.errors import InputError
from opendactyl.models.weights import save_weights
from opendactyl.policy.loading import load_student

SHORT = {"num_envs": 2, "horizon": 12}


def row(goals):
    goals = np.asarray(goals)
    case = {"goals": goals.tolist(), "mean": float(goals.mean()), "drops": 1,
            "seconds_per_goal": None if not goals.sum() else 0.8}  # fmt: skip
    return {"latency_ms": {"p50": 1.0, "p99": 2.25}, "cases": {"none/0": case}}


def test_differences_are_of_the_same_episodes():
    hard = np.random.default_rng(0).integers(0, 40, 50)
    rows = {"lstm": row(hard), "msat": row(hard + 3), "mlp": row(0 * hard)}
    paired = compare(rows)
    assert set(paired) == {"msat", "mlp"}
    assert paired["msat"]["none/0"] == {"mean": 3.0, "interval_95": [3.0, 3.0]}
    low, high = paired["mlp"]["none/0"]["interval_95"]
    assert low < -hard.mean() < high < 0
    lines = make_table(rows).splitlines()
    assert "goals, none, delay 0 | seconds a goal, none | drops, none | p99" in lines[0]
    assert lines[3] == f"| msat | {hard.mean() + 3:.1f} (+3.0 to +3.0) | 0.80 | 1 | 2.2 |"
    assert compare({"msat": row(hard)}) == {}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"names": ("gru",)}, "choose from teacher, lstm, msat"),
        ({"actions": 0}, "one is the least"),
        ({"delays": ()}, "one is the least"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        StudyConfig(**settings)


@pytest.mark.slow
def test_variants_are_trained_once_and_compared(tmp_path, monkeypatch, content, bundle, policy_run):
    weights = tmp_path / "teacher.safetensors"
    save_weights(load_student(policy_run), weights, {"task": "spin", "seeds": [0]})
    short = SHORT | {"max_minutes": 5.0, "eval_episodes": 0, "resume": True}
    monkeypatch.setattr(msat, "TRAINING", short)
    toy = {"chunk": 2, "execute": 2, "updates": 1, "batch_size": 8, "buffer": 60}
    variants = {"msat": toy | {"euler_steps": 2}, "steps-1": {"euler_steps": 1}}
    monkeypatch.setattr(msat, "VARIANTS", variants)
    monkeypatch.setattr(msat, "TIMED", 5)
    original = msat._train_student
    monkeypatch.setattr(msat, "_train_student", lambda config, folder: _two_minibatches(
        monkeypatch, original, config, folder))  # fmt: skip
    config = StudyConfig(
        bundle=bundle, weights=weights, names=("teacher", "lstm", "msat", "steps-1"), actions=48,
        episodes=1, delays=(0, 2), randomizations=("none",), out=tmp_path / "study",
    )  # fmt: skip
    results = run(config)
    assert list(results["rows"]) == ["teacher", "lstm", "msat", "steps-1"]
    assert set(results["rows"]["msat"]["cases"]) == {"none/0", "none/2"}
    assert results["paired"]["msat"]["none/2"]["interval_95"][0] <= 50
    made = tmp_path / "study"
    assert read_json(made / "steps-1/bundle/manifest.json")["policy"]["euler_steps"] == 1
    before = content(made / "msat" / "bundle")
    with pytest.raises(InputError, match="resume"):
        run(config)
    again = run(dataclasses.replace(config, resume=True))
    assert content(made / "msat" / "bundle") == before
    assert again["rows"]["msat"]["cases"] == results["rows"]["msat"]["cases"]
    assert "| lstm |" in (made / "table.md").read_text()
    assert (made / "report.html").exists()


def _two_minibatches(monkeypatch, train, config, folder):
    """The toy run has two simulations, fewer than the minibatches by default."""
    monkeypatch.setitem(msat.TRAINING, "minibatches", 2)
    try:
        return train(config, folder)
    finally:
        monkeypatch.delitem(msat.TRAINING, "minibatches")
