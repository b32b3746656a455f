"""The `<mimic>` of a URDF, which MuJoCo reads as a constraint between two joints."""

from pathlib import Path
from xml.etree import ElementTree

import mujoco
import numpy as np

from opendactyl.core.errors import InputError
from opendactyl.sim.assets.joint_ranges import joint_limits, set_joint_limits

_KINDS = ("revolute", "continuous", "prismatic")
_STIFF = (0.99, 0.999)
"""Impedance of the constraints, which otherwise yield to gravity and contacts."""


def check_mimics(path: Path, root: ElementTree.Element) -> None:
    """Checks that joints mimic others that move; MuJoCo would ignore the rest with a warning.

    Raises:
        InputError: one does not.
    """
    kinds = {joint.get("name"): joint.get("type") for joint in root.iter("joint")}
    moving = [name for name, kind in kinds.items() if name and kind in _KINDS]
    for joint in root.iter("joint"):
        mimic, name = joint.find("mimic"), joint.get("name")
        if mimic is None:
            continue
        leader = mimic.get("joint")
        if name not in moving or leader not in moving or leader == name:
            others = ", ".join(other for other in moving if other != name) or "none"
            raise InputError(
                f"model {path}: joint {name} ({kinds[name]}) mimics {leader!r}; only a joint that "
                f"is {', '.join(_KINDS)} may mimic, and only another such joint: {others}; "
                "correct <mimic> in the URDF"
            )


def prepare_mimics(spec: mujoco.MjSpec, path: Path) -> None:
    """Stiffens the constraints of a URDF, and lets all followers keep their limits.

    The ranges of joints are reduced to those in which what mimics them is within its own.

    Raises:
        InputError: nothing is left of a range.
    """
    for coupling in spec.equalities:
        coupling.solimp[:2] = _STIFF
    for _ in spec.equalities:  # as often as the longest chain of joints needs
        for coupling in spec.equalities:
            _restrict(spec, coupling, path)


def _restrict(spec: mujoco.MjSpec, coupling: mujoco.MjsEquality, path: Path) -> None:
    offset, slope = coupling.data[:2]
    follower, leader = spec.joint(coupling.name1), spec.joint(coupling.name2)
    own, allowed = joint_limits(spec, leader), joint_limits(spec, follower)
    if slope == 0 or not np.isfinite(allowed).any():
        return
    bounds = sorted((limit - offset) / slope for limit in allowed)
    low, high = max(own[0], bounds[0]), min(own[1], bounds[1])
    if not low < high:
        raise InputError(
            f"model {path}: joint {follower.name} mimics {leader.name} and is never within its "
            f"limits, {allowed[0]:g} to {allowed[1]:g}; correct <mimic> or <limit> in the URDF"
        )
    if (low, high) != own:
        set_joint_limits(spec, leader, low, high)
