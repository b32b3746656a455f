"""The study of the cameras' wiring, at toy size."""

from dataclasses import replace
from pathlib import Path

import pytest

from opendactyl.benchmarks.studies.wiring import WiringConfig, run
from opendactyl.core.atomic_files import read_json
from opendactyl.core.errors import InputError

SHIPPED = Path(__file__).parents[3] / "pretrained" / "reorient"


@pytest.mark.slow
def test_a_recording_with_every_kind_of_mistake(tmp_path):
    config = WiringConfig(
        bundle=SHIPPED, renderers=("classic",), recordings=1, seconds=3.2, moments=3, minutes=0.02,
        out=tmp_path,
    )  # fmt: skip
    rows = run(config)["measured"]["classic"]
    kinds = [row["kind"] for row in rows]
    assert kinds[0] == "right wiring" and len(set(kinds)) == len(kinds) == 12
    assert {"two cameras swapped", "three cameras in another order"} < set(kinds)
    for row in rows:
        assert row["named"], row
        assert (row["seconds_to_fault"] is None) == (row["kind"] == "right wiring")
        assert (row["seconds_to_fault"] or 0) <= 3
    table = (tmp_path / "table.md").read_text()
    assert "| classic | two cameras swapped | 1 | 1 | 1 |" in table
    assert "| classic, loop | right wiring, 0.0 min | 1 | | 0 faults |" in table
    assert run(replace(config, resume=True)) == read_json(tmp_path / "results.json")
    assert (tmp_path / "table.md").read_text() == table
    with pytest.raises(InputError, match="moments: 3 there, 4 now"):
        run(replace(config, moments=4, resume=True))


def test_the_seeds_of_the_threshold_are_refused():
    with pytest.raises(InputError, match="on which the threshold was chosen"):
        WiringConfig(seed=7001)
