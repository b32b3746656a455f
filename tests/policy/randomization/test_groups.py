"""Groups of the randomization."""

import dataclasses

import pytest

from opendactyl.core.errors import InputError
from opendactyl.policy.randomization.config import PRESETS, RandomizationConfig
from opendactyl.policy.randomization.groups import GROUPS, only, without

DACTYL, NONE = PRESETS["dactyl"], PRESETS["none"]


def test_every_field_is_in_one_group():
    grouped = [field for fields in GROUPS.values() for field in fields]
    assert sorted(grouped) == sorted(f.name for f in dataclasses.fields(RandomizationConfig))


def test_groups_are_switched_on_and_off():
    assert only(DACTYL, GROUPS) == DACTYL
    assert without(DACTYL, GROUPS) == only(DACTYL, ()) == NONE
    pushed = only(DACTYL, ["pushes"])
    assert pushed.force_chance == DACTYL.force_chance and pushed.gravity == 0
    calm = without(DACTYL, ["pushes", "backlash"])
    assert calm.force_chance == (0, 0) and not calm.backlash_calibrated
    assert calm.gravity == DACTYL.gravity
    with pytest.raises(InputError, match="no group 'wind'"):
        only(DACTYL, ["wind"])
