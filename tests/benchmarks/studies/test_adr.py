"""The comparison of automatic domain randomization with fixed ranges, at toy size."""

import dataclasses
from pathlib import Path

import pytest

from opendactyl.benchmarks.studies import adr
from opendactyl.benchmarks.studies.adr import AdrConfig, make_tables, run
from opendactyl.core.atomic_files import read_json
from opendactyl.core.errors import InputError

WEIGHTS = Path(__file__).parents[3] / "pretrained/weights/policy-spin.safetensors"
SHORT = {"num_envs": 8, "horizon": 4, "minibatches": 2, "epochs": 1}


@pytest.mark.slow
def test_both_kinds_start_from_the_same_weights_and_finished_runs_are_kept(
    tmp_path, monkeypatch, content, short_episodes
):
    monkeypatch.setattr(adr, "TRAINING", adr.TRAINING | SHORT)
    config = AdrConfig(start=WEIGHTS, actions=64, seeds=1, episodes=2, out=tmp_path)
    results = run(config)
    assert list(results) == ["dactyl", "wide"]
    for found in results.values():
        assert list(found["kinds"]) == ["adr", "dactyl"] and list(found["log_ratios"])
        assert [len(goals) for goals in found["kinds"]["adr"]["goals"]] == [2]
    for kind in ("adr", "dactyl"):
        settings = read_json(tmp_path / f"{kind}-0/config.json")
        assert settings["warm_start"] == str(WEIGHTS)
        assert settings["randomization"] == kind
    assert (tmp_path / "table.md").read_text() == make_tables(results)
    before = content(tmp_path / "adr-0")
    again = run(dataclasses.replace(config, seeds=2))
    assert content(tmp_path / "adr-0") == before
    assert len(again["wide"]["kinds"]["adr"]["goals"]) == 2
    with pytest.raises(InputError, match="episodes"):
        run(dataclasses.replace(config, episodes=3))


def test_numbers_below_one_are_refused():
    with pytest.raises(InputError, match="--seeds must be at least 1"):
        AdrConfig(seeds=0)
