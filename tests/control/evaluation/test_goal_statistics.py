"""Statistics of episode records."""

import numpy as np
import pytest

from opendactyl.control.evaluation.goal_statistics import compare_paired, load_paired, summarize
from opendactyl.core.atomic_files import write_json
from opendactyl.core.errors import InputError
from opendactyl.vision.measures.metrics import by_visibility


def test_results_summarize_the_records():
    def record(goals, outcome):
        return {"goals": goals, "outcome": outcome, "actions": 100, "rotation_error_rad": 5.0,
                "position_error_m": 0.3, "without_pose": 2,
                "visibility": [[0.95, 0.1, 0.001], [0.5, 0.3, 0.003]]}  # fmt: skip

    results = summarize([record(50, "finished"), record(0, "drop"), record(10, "timeout")], "spin")
    assert results["consecutive_successes"]["mean"] == pytest.approx(20)
    assert results["consecutive_successes"]["median"] == 10
    assert results["seconds_per_success"] == pytest.approx(300 * 0.08 / 60)
    assert results["goals_per_100_actions"] == pytest.approx(20)
    assert results["drops_per_1000_actions"] == pytest.approx(10 / 3)
    assert results["position_error_mm_in_loop"] == pytest.approx(3.0)
    low, high = results["mean_interval_95"]
    assert 0 <= low < 20 < high <= 50
    assert results["actions_without_pose"] == 6
    assert (results["drops"], results["timeouts"], results["finished"]) == (1, 1, 1)


def test_ratio_of_pairs_and_its_interval():
    rng = np.random.default_rng(0)
    sim = rng.integers(10, 50, 200).tolist()
    same = compare_paired(sim, sim + [50])
    assert (same["n"], same["ratio"], same["interval_95"]) == (200, 1.0, [1.0, 1.0])
    assert same["mean"] == same["theirs"]["mean"] == pytest.approx(np.mean(sim))
    assert same["theirs"]["median"] == np.median(sim)
    noisy = compare_paired(
        [round(0.8 * g + d) for g, d in zip(sim, rng.normal(0, 8, 200), strict=True)], sim
    )
    low, high = noisy["interval_95"]
    assert low < noisy["ratio"] < high
    assert low < 0.8 < high and high - low < 0.2
    assert compare_paired([3, 4], [0, 0])["ratio"] is None


def test_errors_are_grouped_by_visibility():
    rows = by_visibility(*np.array([[0.11, 0.14, 1.0], [1.0, 3.0, 0.1], [10.0, 30.0, 1.0]]))
    assert [(row["visible_from"], row["n"]) for row in rows] == [(0.1, 2), (0.95, 1)]
    assert rows[0]["rotation_error_deg"] == pytest.approx(2.0)
    assert rows[0]["position_error_mm"] == pytest.approx(20.0)


@pytest.mark.parametrize("ours", [0, 3])
def test_episodes_with_another_delay_are_no_pairs(tmp_path, ours):
    """The settings leave out a delay of zero, as those of earlier versions do."""
    settings = {"pose": "sim", "fuse": False, "seed": 1000}
    mine = settings | ({"action_delay": ours} if ours else {})
    write_json(tmp_path / "results.json", {"consecutive_successes": {"values": [1, 2]}})
    write_json(tmp_path / "config.json", mine)
    assert load_paired(tmp_path, mine)[1] == [1, 2]
    other = settings if ours else settings | {"action_delay": 3}
    with pytest.raises(InputError, match=f"action_delay: {ours} there, {3 - ours} here"):
        load_paired(tmp_path, other)
