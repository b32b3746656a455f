import dataclasses
from pathlib import Path

from opendactyl.render.appearance import AppearanceConfig
from opendactyl.render.handbook import randomization_page

PAGE = Path(__file__).parents[2] / "docs" / "randomization.md"


def test_the_page_is_made_from_the_code():
    assert PAGE.read_text(encoding="utf-8") == randomization_page()


def test_every_key_has_a_row_with_its_range_in_each_preset():
    rows = [line for line in randomization_page().splitlines() if line.startswith("| `")]
    assert len(rows) == len(dataclasses.fields(AppearanceConfig))
    tile = next(row for row in rows if "`background_tile`" in row)
    assert tile.split(" | ")[3:6] == ["5", "5", "0.3 … 3"]
