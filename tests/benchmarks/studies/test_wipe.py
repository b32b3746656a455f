from pathlib import Path

import pytest

from opendactyl.benchmarks.studies import physics
from opendactyl.benchmarks.studies.wipe import WipeConfig, make_table, run
from opendactyl.core.atomic_files import read_json
from opendactyl.core.errors import InputError

SPIN = Path(__file__).parents[3] / "pretrained" / "spin"


def test_a_row_for_each_interval_between_resets(policy_run, tmp_path):
    config = WipeConfig(policy=policy_run, every=(1, 3), hands=3, actions=6, out=tmp_path)
    rows = run(config)
    assert [row["every"] for row in rows] == [1, 3, None]
    for row in rows:
        low, high = row["interval_95"]
        assert 0 <= low <= row["goals_per_100_actions"] <= high
    saved = read_json(tmp_path / "results.json")
    assert saved["rows"] == rows and saved["settings"]["task"] == "spin"
    table = (tmp_path / "table.md").read_text()
    assert table == make_table(rows)
    firsts = [line.split("|")[1].strip() for line in table.splitlines()[2:]]
    assert firsts == ["1 (0.08 s)", "3 (0.24 s)", "never"]
    assert (tmp_path / "wipe.png").read_bytes()[:4] == b"\x89PNG"


def test_the_shipped_policy_needs_its_memory(tmp_path):
    config = WipeConfig(policy=SPIN, every=(1,), hands=24, actions=100, out=tmp_path)
    wiped, never = run(config)
    assert never["goals_per_100_actions"] > 1.0
    assert wiped["goals_per_100_actions"] != never["goals_per_100_actions"]


def test_impossible_intervals_are_refused():
    with pytest.raises(InputError, match="--every must be at least 1"):
        WipeConfig(policy=SPIN, every=(0,))


def test_a_missing_policy_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(InputError, match="none"):
        run(WipeConfig(policy=tmp_path / "none", out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_the_physics_study_has_a_row_for_each_group(policy_run, tmp_path):
    config = physics.PhysicsConfig(policy=policy_run, hands=2, actions=3, out=tmp_path)
    rows = physics.run(config)
    assert len(rows) == 15 and rows[0].physics == "none"
    assert (tmp_path / "table.md").read_text() == physics.make_table(rows)
