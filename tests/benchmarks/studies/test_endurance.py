import pytest

from opendactyl.benchmarks.studies.endurance import (
    EnduranceConfig,
    Sample,
    interval,
    make_table,
    run,
)
from opendactyl.core.atomic_files import read_json
from opendactyl.core.errors import EnvironmentFailure, InputError


def test_speed_and_memory_of_an_interval():
    samples = [Sample(0, 0, 100), Sample(9, 90, 110), Sample(19, 140, 120), Sample(29, 160, 140)]
    assert interval(samples, 0, 10) == {"actions_per_second": 10, "memory_mib": 110}
    assert interval(samples, 10, 30) == {"actions_per_second": 70 / 20, "memory_mib": 130}
    with pytest.raises(EnvironmentFailure, match="from 30 to 40 s"):
        interval(samples, 30, 40)


def test_impossible_settings_are_refused():
    for settings in ({"pose": "sim"}, {"minutes": 0}, {"intervals": 1}):
        with pytest.raises(InputError, match=next(iter(settings))):
            EnduranceConfig(**settings)


@pytest.mark.slow
def test_the_last_interval_is_compared_with_the_first(bundle, tmp_path):
    config = EnduranceConfig(bundle=bundle, renderer="classic", seconds_per_goal=0.16, minutes=0.3,
                             intervals=2, workers=1, out=tmp_path)  # fmt: skip
    results = run(config)
    first, last = results["intervals"]
    assert (
        0
        < results["actions_per_second_ratio"]
        == pytest.approx(last["actions_per_second"] / first["actions_per_second"])
    )
    assert (
        100 < last["memory_mib"] == pytest.approx(results["memory_mib_ratio"] * first["memory_mib"])
    )
    assert results["samples"][-1][1] > 4
    assert read_json(tmp_path / "results.json")["intervals"] == results["intervals"]
    assert (tmp_path / "table.md").read_text() == make_table(results)
    assert (tmp_path / "endurance.png").read_bytes()[:4] == b"\x89PNG"
