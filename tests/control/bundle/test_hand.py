"""The hand's interface in bundles, of this version and before."""

from pathlib import Path

import numpy as np
import pytest

from opendactyl.control.bundle.hand import HandInterface
from opendactyl.control.bundle.load import load_bundle
from opendactyl.core.atomic_files import read_json
from opendactyl.core.errors import InputError
from opendactyl.policy.interface.observations import HandSize
from opendactyl.sim.hands.shipped import hand_spec
from opendactyl.sim.scene import load_scene

SHIPPED = Path(__file__).parents[3] / "pretrained"


def test_a_bundle_states_the_hand_and_earlier_ones_mean_the_same(bundle):
    new = load_bundle(bundle)
    assert new.manifest["hand"]["files"] == hand_spec().checksums.identity["files"]
    assert new.hand_reference == new.hand_name == "shadow"
    manifest = read_json(SHIPPED / "reorient/manifest.json")
    assert manifest.pop("hand")["name"] == "shadow"  # earlier versions did not state it
    for hand in (new.hand, HandInterface.from_manifest(manifest)):
        spec = hand_spec()
        assert (hand.joints, hand.actuators) == (spec.joints, spec.actuators)
        assert hand.fingertips == tuple(tip.name for tip in spec.fingertips)
        assert HandSize.of(hand) == HandSize.of(spec)
        joints = np.random.default_rng(0).normal(size=(3, 24))
        expected = load_scene().transmission(joints)
        np.testing.assert_array_equal(hand.actuated(joints), expected)


def test_coupled_joints_are_weighted():
    hand = HandInterface.from_manifest(
        {
            "joints": ["a", "b", "c"],
            "hand": {
                "name": "claw",
                "actuators": [
                    {"name": "n", "joints": {"c": 1.0, "a": 0.5}},
                    {"name": "m", "joints": {"b": 1}},
                ],
                "fingertips": ["tip"],
            },
        }
    )
    assert (hand.name, hand.actuators, HandSize.of(hand)) == (
        "claw", ("n", "m"), HandSize(3, 2, 1),
    )  # fmt: skip
    np.testing.assert_allclose(hand.actuated([[1.0, 2.0, 3.0]]), [[3.5, 2.0]])


@pytest.mark.parametrize(
    "manifest",
    [
        {"joints": ["elbow"]},
        {"joints": [f"J{i}" for i in range(24)]},
        {
            "joints": ["a"],
            "hand": {"actuators": [{"name": "m", "joints": {"b": 1.0}}], "fingertips": []},
        },
        {"joints": ["a"], "hand": {"actuators": []}},
    ],
)
def test_other_joints_are_refused(manifest):
    with pytest.raises(InputError, match="it was made for a hand with other joints"):
        HandInterface.from_manifest(manifest)
