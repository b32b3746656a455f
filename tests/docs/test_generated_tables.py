"""The tables in the documentation are up to date."""

import dataclasses
import runpy
from pathlib import Path

import pytest

from opendactyl.core.config_fields import table
from opendactyl.datasets.loading.augmentation_config import AugmentConfig
from opendactyl.policy.randomization.config import RandomizationConfig
from opendactyl.render.appearance.config import AppearanceConfig

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def make_docs():
    return runpy.run_path(str(ROOT / "scripts" / "make_docs.py"))


def rows(name):
    return [
        line for line in (DOCS / name).read_text(encoding="utf-8").splitlines() if "| `" in line
    ]


def test_tables_are_up_to_date(make_docs):
    found = []
    for document in DOCS.glob("*.md"):
        text = document.read_text(encoding="utf-8")
        assert text == make_docs["with_tables"](text), f"{document}: run `make docs`"
        found += make_docs["_TABLE"].findall(text)
    assert sorted(name for _, name, _ in found) == sorted(make_docs["TABLES"])


def test_edited_tables_are_regenerated(make_docs):
    text = (DOCS / "physics.md").read_text(encoding="utf-8")
    changed = text.replace("| `object_mass` |", "| `object_weight` |")
    assert changed != text
    assert make_docs["with_tables"](changed) == text


def test_every_field_has_a_row_with_its_range_per_preset():
    settings = (*dataclasses.fields(AppearanceConfig), *dataclasses.fields(AugmentConfig))
    cells = {row.split("`")[1]: row.split(" | ") for row in rows("randomization.md")}
    assert set(cells) == {field.name for field in settings}
    assert cells["background_tile"][3:6] == ["5", "5", "0.3 … 3"]
    assert cells["hand_random"][3:6] == ["no", "yes", "yes"]
    assert cells["jpeg_quality"][3] == "60 … 95"


@pytest.mark.parametrize("config", [AppearanceConfig(), AugmentConfig(), RandomizationConfig()])
def test_rows_have_a_quantity_and_a_source(config):
    assert len(table(config)) == len(dataclasses.fields(config))
    assert all(what and source for what, _, _, source in table(config))
