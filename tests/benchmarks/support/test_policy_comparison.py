"""Statistics of policies that were trained in different ways."""

import numpy as np
import pytest

from opendactyl.benchmarks.support.policy_comparison import compare, make_table


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


def test_robots_that_differ_do_not_widen_the_ratio_of_pairs():
    goals = np.array([[2], [10], [30], [45], [50]]) + np.zeros((1, 40))
    goals = {"fitted": 1.1 * goals, "dactyl": goals}
    pair = compare(goals, paired=True)["log_ratios"]["fitted/dactyl"]
    assert pair["interval_95"] == pytest.approx([np.log(1.1)] * 2)
    low, high = compare(goals)["log_ratios"]["fitted/dactyl"]["interval_95"]
    assert high - low > 1


def test_a_kind_without_goals_has_a_finite_ratio():
    results = compare({"lstm": np.ones((2, 5)), "none": np.zeros((2, 5))})
    assert results["log_ratios"]["lstm/none"]["log_ratio"] == pytest.approx(np.log(1 / 0.05))
