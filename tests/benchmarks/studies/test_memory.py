import dataclasses

import numpy as np
import pytest

from opendactyl.benchmarks.studies import memory
from opendactyl.benchmarks.studies.memory import MemoryConfig, compare, make_table, run
from opendactyl.core.atomic_files import read_json
from opendactyl.core.errors import InputError

SHORT = {"num_envs": 8, "horizon": 4, "minibatches": 2, "epochs": 1}


def cells(row):
    return [cell.strip() for cell in row.split("|")[1:-1]]


def test_the_interval_includes_the_variance_between_seeds():
    rng = np.random.default_rng(0)
    steady = rng.integers(19, 22, (3, 100))
    uneven = np.array([[10], [20], [30]]) + rng.integers(-1, 2, (3, 100))
    results = compare({"lstm": steady, "none": uneven})
    low, high = results["kinds"]["lstm"]["interval_95"]
    assert high - low < 1 and low < steady.mean() < high
    low, high = results["kinds"]["none"]["interval_95"]
    assert low < 14 and high > 26, "three different seeds give a wide interval"
    pair = results["log_ratios"]["lstm/none"]
    assert pair["log_ratio"] == pytest.approx(np.log(steady.mean() / uneven.mean()))
    assert pair["interval_95"][0] < pair["log_ratio"] < pair["interval_95"][1]
    lstm, _, log_ratio, ratio = map(cells, make_table(results).splitlines()[2:])
    assert lstm[0] == "`lstm`" and float(lstm[2]) == round(steady.mean(), 1)
    assert log_ratio[0] == "log `lstm/none`"
    assert float(ratio[2]) == round(steady.mean() / uneven.mean(), 2)


def test_episodes_that_are_hard_for_all_kinds_do_not_widen_the_ratio():
    other = np.tile(np.random.default_rng(0).integers(1, 50, 100), (4, 1))
    pair = compare({"lstm": 2 * other, "none": other})["log_ratios"]["lstm/none"]
    assert [pair["log_ratio"], *pair["interval_95"]] == pytest.approx([np.log(2)] * 3)


def test_a_kind_without_goals_has_a_finite_ratio():
    results = compare({"lstm": np.ones((2, 5)), "none": np.zeros((2, 5))})
    assert results["log_ratios"]["lstm/none"]["log_ratio"] == pytest.approx(np.log(1 / 0.05))


@pytest.mark.slow
def test_all_kinds_learn_from_one_teacher_and_finished_runs_are_kept(
    tmp_path, monkeypatch, content, short_episodes
):
    monkeypatch.setattr(memory, "TRAINING", memory.TRAINING | SHORT)
    config = MemoryConfig(teacher_actions=64, actions=96, seeds=1, episodes=2, out=tmp_path)
    results = run(config)
    kinds, runs = ["lstm", "none", "frames"], ["lstm-0", "none-0", "frames-0"]
    assert list(results["kinds"]) == kinds
    assert list(results["log_ratios"]) == ["lstm/none", "lstm/frames"]
    teacher = read_json(tmp_path / "teacher" / "config.json")
    assert teacher["privileged"] and teacher["memory"] == "none"
    for name in runs:
        settings = read_json(tmp_path / name / "config.json")
        assert settings["teacher"] == str(tmp_path / "teacher")
        assert (settings["layout"], settings["action"], settings["smoothing"]) == (
            "d18", "relative", 0.3,
        )  # fmt: skip
        assert not settings["strength_curriculum"]
        stages = (tmp_path / name / "metrics.csv").read_text().splitlines()[1:]
        assert [row.split(",")[0] for row in stages] == ["clone", "clone", "ppo"]
    saved = read_json(tmp_path / "results.json")
    assert saved["kinds"] == results["kinds"] and saved["settings"]["actions"] == 96
    assert (tmp_path / "table.md").read_text() == make_table(results)
    assert (tmp_path / "memory.png").read_bytes()[:4] == b"\x89PNG"
    before = {name: content(tmp_path / name) for name in (*runs, "teacher")}
    again = run(dataclasses.replace(config, seeds=2))
    assert {name: content(tmp_path / name) for name in before} == before
    assert again["kinds"]["lstm"]["goals"][0] == results["kinds"]["lstm"]["goals"][0]
    assert len(again["kinds"]["lstm"]["goals"]) == 2
    with pytest.raises(InputError, match="episodes"):
        run(dataclasses.replace(config, episodes=3))


def test_a_teacher_with_other_actions_is_refused(policy_run, tmp_path):
    with pytest.raises(InputError, match=r"--action of .* is absolute"):
        run(MemoryConfig(teacher=policy_run, out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_numbers_below_one_are_refused():
    with pytest.raises(InputError, match="--teacher-actions"):
        MemoryConfig(teacher_actions=0)
