import numpy as np
import pytest

from opendactyl.benchmarks.studies.memory import MemoryConfig, make_table, run


def cells(row):
    return [cell.strip() for cell in row.split("|")[1:-1]]


def test_the_interval_includes_the_variance_between_seeds():
    rng = np.random.default_rng(0)
    steady = rng.integers(19, 22, (3, 100))
    uneven = np.array([[10], [20], [30]]) + rng.integers(-1, 2, (3, 100))
    lstm, none, ratio = map(cells, make_table({"lstm": steady, "none": uneven}).splitlines()[2:])
    assert lstm[:1] == ["`lstm`"] and abs(float(lstm[2]) - 20) < 0.5
    low, high = map(float, lstm[3].split(" to "))
    assert high - low < 1
    low, high = map(float, none[3].split(" to "))
    assert low < 14 and high > 26, "three different seeds give a wide interval"
    low, high = map(float, ratio[3].split(" to "))
    assert low < float(ratio[2]) < high
    assert float(ratio[2]) == pytest.approx(steady.mean() / uneven.mean(), abs=0.01)


@pytest.mark.slow
def test_both_kinds_are_trained_and_evaluated(policy_run, tmp_path):
    config = MemoryConfig(
        teacher=policy_run, actions=20_000, seeds=1, episodes=2, randomization="none", out=tmp_path
    )
    table = run(config)
    assert [cells(row)[0] for row in table.splitlines()[2:]] == [
        "`lstm`",
        "`none`",
        "`lstm` / `none`",
    ]
    assert (tmp_path / "table.md").read_text() == table
    assert run(config) == table
