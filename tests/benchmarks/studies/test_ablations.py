import dataclasses

import pytest

from opendactyl.benchmarks.studies import ablations
from opendactyl.benchmarks.studies.ablations import VARIANTS, AblationConfig, Variant, run
from opendactyl.core.atomic_files import read_json
from opendactyl.core.errors import InputError
from opendactyl.vision.training.config import VisionConfig


def test_each_variant_differs_from_the_base_in_one_setting():
    base = Variant()
    for name, variant in VARIANTS.items():
        changed = [
            field.name
            for field in dataclasses.fields(Variant)
            if getattr(variant, field.name) != getattr(base, field.name)
        ]
        assert len(changed) == (name != "base"), name
        assert len(variant.settings) <= 1
        dataclasses.replace(VisionConfig(), **variant.settings).check()


def test_an_unknown_variant_lists_the_others(tmp_path):
    with pytest.raises(InputError, match="choose from base, views-1"):
        run(AblationConfig(names=("views-9",), out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_variants_are_trained_tested_and_listed(bundle, tmp_path, monkeypatch):
    tests = {name: dataclasses.replace(t, samples=4) for name, t in ablations.TESTS.items()}
    monkeypatch.setattr(ablations, "TESTS", tests)
    monkeypatch.setattr(ablations, "VAL_SAMPLES", 4)
    config = AblationConfig(
        names=("base", "views-1"), out=tmp_path, steps=2, samples=64, bundle=bundle,
        image_size=64,
    )  # fmt: skip
    table = run(config)
    assert [line.split("|")[1].strip() for line in table.splitlines()[2:]] == [
        "`base`",
        "`views-1`",
    ]
    assert read_json(tmp_path / "views-1" / "config.json")["views"] == 1
    assert (tmp_path / "table.md").read_text() == table
    assert run(dataclasses.replace(config, names=("base",))) == table
