"""The hand of a bundle's policy: names, orders and couplings, from the manifest."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from opendactyl.core.errors import InputError
from opendactyl.geometry.rotation import Array

DEFAULT_NAME = "shadow"
"""The hand of manifests that name none."""
_PASSIVE = ("FFJ0", "MFJ0", "RFJ0", "LFJ0")
_FINGERTIPS = ("S_fftip", "S_mftip", "S_rftip", "S_lftip", "S_thtip")
_JOINTS = 24
"""Those manifests list the 24 joints of the Shadow hand only; four of them have no actuator."""


def hand_name(manifest: Mapping[str, Any]) -> str:
    """The name of the hand that a bundle was made for."""
    return str(manifest.get("hand", {}).get("name", DEFAULT_NAME))


@dataclass(frozen=True, eq=False)
class HandInterface:
    """What the control loop exchanges with a hand."""

    name: str
    joints: tuple[str, ...]
    """The joints (J), in the order of measured angles."""
    actuators: tuple[str, ...]
    """The actuators (A), in the order of targets."""
    fingertips: tuple[str, ...]
    """The fingertips (F), in the order of measured positions."""
    weights: Array
    """(A, J): the angle that an actuator controls is this weighted sum of joint angles."""

    def actuated(self, joints: ArrayLike) -> Array:
        """The controlled angles (..., A) at joint angles (..., J)."""
        return np.asarray(joints, dtype=np.float64) @ self.weights.T

    @classmethod
    def from_manifest(cls, manifest: Mapping[str, Any]) -> "HandInterface":
        """Reads the interface of a bundle with a policy.

        Raises:
            InputError: joints and actuators do not fit.
        """
        joints = tuple(manifest["joints"])
        if not all(isinstance(name, str) for name in joints):
            raise InputError(f"its joints must be names, not {list(joints)}")
        hand = manifest.get("hand", {})
        if "actuators" not in hand:
            hand = _of_earlier_bundle(joints)
        moved = {str(entry["name"]): dict(entry["joints"]) for entry in hand["actuators"]}
        unknown = {joint for weights in moved.values() for joint in weights} - set(joints)
        if unknown or not moved:
            raise InputError(f"it was made for a hand with other joints: {list(joints)}")
        weights = np.zeros((len(moved), len(joints)))
        for row, pairs in zip(weights, moved.values(), strict=True):
            for joint, weight in pairs.items():
                row[joints.index(joint)] = float(weight)
        tips = tuple(map(str, hand["fingertips"]))
        return cls(hand_name(manifest), joints, tuple(moved), tips, weights)


def _of_earlier_bundle(joints: tuple[str, ...]) -> dict[str, Any]:
    """The entry `hand` of bundles that were made before hands were files."""
    if len(joints) != _JOINTS or not set(_PASSIVE) <= set(joints):
        raise InputError(f"it was made for a hand with other joints: {list(joints)}")
    actuated = [name for name in joints if name not in _PASSIVE]
    actuators = [{"name": f"A_{name}", "joints": {name: 1.0}} for name in actuated]
    return {"actuators": actuators, "fingertips": _FINGERTIPS}
