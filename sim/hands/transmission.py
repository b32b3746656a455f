"""Which joints an actuator moves."""

from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from opendactyl.core.errors import InputError
from opendactyl.geometry.rotation import Array
from opendactyl.sim.hands.spec import HandSpec

_POSITION_SERVO = "a position servo, whose targets are angles"


@dataclass(frozen=True, eq=False)
class Transmission:
    """The angle that an actuator controls is a weighted sum of joint angles."""

    joints: NDArray[np.intp]
    """Indices (A, K) of joints, in the hand's order."""
    weights: Array
    """(A, K): 1 for a joint of its own, those of the tendon for coupled joints, 0 for none."""

    def __call__(self, joints: ArrayLike) -> Array:
        """The controlled angles (..., A) at joint angles (..., J)."""
        return (np.asarray(joints)[..., self.joints] * self.weights).sum(axis=-1)

    def to_dict(self, hand: HandSpec) -> dict[str, dict[str, float]]:
        """For each actuator its joints and their weights, in the hand's order."""
        return {
            name: {
                hand.joints[joint]: weight
                for joint, weight in zip(joints.tolist(), weights.tolist(), strict=True)
                if weight
            }
            for name, joints, weights in zip(hand.actuators, self.joints, self.weights, strict=True)
        }

    @classmethod
    def of_model(cls, model: mujoco.MjModel, hand: HandSpec) -> "Transmission":
        """Reads the transmissions of a compiled hand.

        Raises:
            InputError: an actuator is not a position servo with a range, or moves other joints.
        """
        found = [_moved(model, hand, number) for number in range(model.nu)]
        width = max((len(moved) for moved in found), default=0)
        joints = np.zeros((len(found), width), dtype=np.intp)
        weights = np.zeros((len(found), width))
        for row, moved in enumerate(found):
            joints[row, : len(moved)] = [hand.joints.index(name) for name in moved]
            weights[row, : len(moved)] = list(moved.values())
        return cls(joints, weights)


def _moved(model: mujoco.MjModel, hand: HandSpec, actuator: int) -> dict[str, float]:
    """The joints that an actuator moves, with their weights."""
    name = model.actuator(actuator).name
    low, high = model.actuator_ctrlrange[actuator]
    gain, bias = model.actuator_gainprm[actuator, 0], model.actuator_biasprm[actuator]
    if not (low < high and gain > 0 and np.isclose(bias[1], -gain)):
        raise InputError(
            f"{hand.where}: actuator {name!r} is not {_POSITION_SERVO}, with a ctrlrange; correct "
            "the model, or add [servo] to replace its actuators"
        )
    target, gear = int(model.actuator_trnid[actuator, 0]), model.actuator_gear[actuator, 0]
    kind = model.actuator_trntype[actuator]
    if kind == mujoco.mjtTrn.mjTRN_JOINT:
        weights = {target: float(gear)}
    elif kind == mujoco.mjtTrn.mjTRN_TENDON:
        start, count = model.tendon_adr[target], model.tendon_num[target]
        wraps = slice(start, start + count)
        if np.any(model.wrap_type[wraps] != mujoco.mjtWrap.mjWRAP_JOINT):
            raise InputError(f"{hand.where}: actuator {name!r} pulls a tendon that is not fixed")
        pairs = zip(model.wrap_objid[wraps], model.wrap_prm[wraps], strict=True)
        weights = {int(joint): float(gear * weight) for joint, weight in pairs}
    else:
        raise InputError(f"{hand.where}: actuator {name!r} moves neither a joint nor a tendon")
    moved = {model.joint(i).name.removeprefix(hand.prefix): w for i, w in weights.items()}
    for joint in moved:
        if joint not in hand.joints:
            raise InputError(f"{hand.where}: actuator {name!r} moves {joint!r}; add it to joints")
    return moved
