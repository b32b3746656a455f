"""The cards of the shipped bundles state what their manifests state."""

import json
from pathlib import Path

import pytest

from opendactyl.control.bundle.model_card import model_card

BUNDLES = sorted(
    path.parent for path in (Path(__file__).parents[3] / "pretrained").glob("*/manifest.json")
)


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_card_follows_from_the_manifest(bundle: Path):
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert (bundle / "README.md").read_text() == model_card(manifest)


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_card_contains_every_evaluation(bundle: Path):
    rows = json.loads((bundle / "manifest.json").read_text())["metrics"].get("loop", [])
    card = (bundle / "README.md").read_text()
    for row in rows:
        assert f"| {row['task']} | {row['pose']}" in card
        assert f"| {row['randomization']} |" in card
