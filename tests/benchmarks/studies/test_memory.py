import dataclasses

import pytest

from opendactyl.benchmarks.studies import memory
from opendactyl.benchmarks.studies.memory import MemoryConfig, run
from opendactyl.benchmarks.support.policy_comparison import make_table
from opendactyl.core.atomic_files import read_json
from opendactyl.core.errors import InputError

SHORT = {"num_envs": 8, "horizon": 4, "minibatches": 2, "epochs": 1}


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
    with pytest.raises(
        InputError, match="with --action absolute, --action is relative; use the same"
    ):
        run(MemoryConfig(teacher=policy_run, out=tmp_path / "out"))
    with pytest.raises(InputError, match="nowhere does not exist; name a run of train-policy"):
        run(MemoryConfig(teacher=tmp_path / "nowhere", out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_numbers_below_one_are_refused():
    with pytest.raises(InputError, match="--teacher-actions"):
        MemoryConfig(teacher_actions=0)
