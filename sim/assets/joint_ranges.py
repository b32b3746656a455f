"""Limits of the joints of an `MjSpec`, in radians and metres whatever the unit of its file."""

import mujoco
import numpy as np

from opendactyl.core.errors import InputError

_LIMITED, _AUTO = mujoco.mjtLimited.mjLIMITED_TRUE, mujoco.mjtLimited.mjLIMITED_AUTO
_ANGLES = (mujoco.mjtJoint.mjJNT_HINGE, mujoco.mjtJoint.mjJNT_BALL)


def joint_limits(spec: mujoco.MjSpec, joint: mujoco.MjsJoint) -> tuple[float, float]:
    """The lowest and the highest value; infinite where there are none."""
    low, high = np.asarray(joint.range) * _unit(spec, joint)
    limited = joint.limited == _LIMITED or (joint.limited == _AUTO and low < high)
    return (float(low), float(high)) if limited else (-np.inf, np.inf)


def required_limits(spec: mujoco.MjSpec, joint: mujoco.MjsJoint, where: str) -> tuple[float, float]:
    """The limits of a joint of a hand.

    Raises:
        InputError: it has none.
    """
    limits = joint_limits(spec, joint)
    if not np.isfinite(limits).all():
        raise InputError(
            f"{where}: joint {joint.name} of the model has no limits, and servos and states need "
            "them; add them to the model"
        )
    return limits


def set_joint_limits(spec: mujoco.MjSpec, joint: mujoco.MjsJoint, low: float, high: float) -> None:
    """Limits a joint."""
    joint.range, joint.limited = np.array([low, high]) / _unit(spec, joint), True


def _unit(spec: mujoco.MjSpec, joint: mujoco.MjsJoint) -> float:
    """What a number in a model's file has to be multiplied by."""
    return np.pi / 180 if spec.compiler.degree and joint.type in _ANGLES else 1.0
