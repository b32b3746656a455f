import dataclasses

import pytest

from opendactyl.benchmarks.studies import ablations
from opendactyl.benchmarks.studies.ablations import VARIANTS, AblationConfig, Variant, run
from opendactyl.core.atomic_files import read_json
from opendactyl.core.errors import InputError
from opendactyl.datasets.loading.augmentation_config import AugmentConfig
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
        dataclasses.replace(AugmentConfig(), **variant.augment or {})


def test_an_unknown_variant_lists_the_others(tmp_path):
    with pytest.raises(InputError, match="choose from base, views-1"):
        run(AblationConfig(names=("views-9",), out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_variants_are_trained_tested_and_listed(bundle, tmp_path, monkeypatch):
    for table in ("TESTS", "EFFECT_TESTS"):
        tests = getattr(ablations, table).items()
        few = {name: dataclasses.replace(test, samples=4) for name, test in tests}
        monkeypatch.setattr(ablations, table, few)
    monkeypatch.setattr(ablations, "VAL_SAMPLES", 4)
    config = AblationConfig(
        names=("base", "views-1", "effects-defocus"), out=tmp_path, steps=2, samples=64,
        bundle=bundle, image_size=64,
    )  # fmt: skip
    table = run(config)
    first, second = (part.splitlines() for part in table.split("\n\n"))
    assert [line.split("|")[1].strip() for line in first[2:]] == ["`base`", "`views-1`"]
    assert "motion blur" in second[0] and [line.split("|")[1].strip() for line in second[2:]] == [
        "`effects-defocus`"
    ]
    assert read_json(tmp_path / "effects-defocus" / "config.json")["augment"]["defocus"] == 0.3
    assert (
        read_json(tmp_path / "effects-defocus" / "noise" / "config.json")["augment"]["noisy"] == 1
    )
    assert read_json(tmp_path / "views-1" / "config.json")["views"] == 1
    assert (tmp_path / "table.md").read_text() == table
    assert run(dataclasses.replace(config, names=("base",))) == table
