import dataclasses
from pathlib import Path

import pytest

from opendactyl.core.config_fields import table
from opendactyl.datasets.handbook import randomization_page
from opendactyl.datasets.loading.augmentation import AugmentConfig
from opendactyl.render.appearance.config import AppearanceConfig

PAGE = Path(__file__).parents[2] / "docs" / "randomization.md"


def test_the_page_is_made_from_the_code():
    assert PAGE.read_text(encoding="utf-8") == randomization_page()


def test_every_key_has_a_row_with_its_range_in_each_preset():
    rows = [line for line in randomization_page().splitlines() if line.startswith("| `")]
    settings = (*dataclasses.fields(AppearanceConfig), *dataclasses.fields(AugmentConfig))
    assert [row.split("`")[1] for row in rows] == [field.name for field in settings]
    cells = {row.split("`")[1]: row.split(" | ") for row in rows}
    assert cells["background_tile"][3:6] == ["5", "5", "0.3 … 3"]
    assert cells["hand_random"][3:6] == ["no", "yes", "yes"]
    assert cells["jpeg_quality"][3] == "60 … 95"


@pytest.mark.parametrize("config", [AppearanceConfig(), AugmentConfig()])
def test_every_row_says_what_and_from_where(config):
    assert all(what and source for what, _, _, source in table(config))
