"""Groups of randomized quantities, which are switched on and off together."""

import dataclasses
from collections.abc import Iterable

from opendactyl.core.errors import InputError
from opendactyl.policy.randomization.config import PRESETS, RandomizationConfig

GROUPS: dict[str, tuple[str, ...]] = {
    "size": ("object_size",),
    "mass": ("object_mass", "link_mass"),
    "friction": ("friction",),
    "gravity": ("gravity",),
    "damping": ("joint_damping",),
    "armature": ("joint_armature",),
    "joint-friction": ("joint_friction",),
    "gains": ("actuator_gain",),
    "failures": ("actuator_failure",),
    "limits": ("joint_limits",),
    "timing": ("timestep_rate",),
    "action-noise": ("action_noise", "action_bias", "action_scale", "action_scale_offset"),
    "delay": ("action_delay",),
    "actuator-delay": ("actuator_delay",),
    "backlash": (
        "backlash", "backlash_up", "backlash_calibrated", "backlash_jitter", "backlash_scale",
    ),
    "pushes": ("force_chance", "force_scale", "force_decay"),
    "fingertips": (
        "fingertip_offset", "fingertip_noise", "fingertip_marker", "base_marker", "marker_loss",
        "marker_loss_seconds", "occlusion",
    ),
    "joints": ("joint_offset", "joint_offset_centre", "joint_noise"),
    "pose": (
        "position_offset", "position_noise", "rotation_offset", "rotation_noise", "pose_loss",
        "pose_loss_seconds", "pose_delay", "pose_period", "pose_injection", "injected_position",
    ),
    "hand": ("hand",),
}  # fmt: skip
"""Fields of `RandomizationConfig` by group; every field is in one group."""
BODY = ("size", "mass", "friction", "gravity")
ACTUATION = (
    "gains", "failures", "timing", "action-noise", "delay", "actuator-delay", "backlash",
)  # fmt: skip
SENSING = ("fingertips", "joints", "pose")


def only(config: RandomizationConfig, groups: Iterable[str]) -> RandomizationConfig:
    """The ranges of some groups; the others as in preset `none`.

    Raises:
        InputError: there is no such group.
    """
    fields = [field for group in groups for field in _fields(group)]
    return dataclasses.replace(PRESETS["none"], **{f: getattr(config, f) for f in fields})


def without(config: RandomizationConfig, groups: Iterable[str]) -> RandomizationConfig:
    """All ranges but those of some groups, which are as in preset `none`.

    Raises:
        InputError: there is no such group.
    """
    fields = [field for group in groups for field in _fields(group)]
    return dataclasses.replace(config, **{f: getattr(PRESETS["none"], f) for f in fields})


def _fields(group: str) -> tuple[str, ...]:
    if group not in GROUPS:
        raise InputError(f"no group {group!r} of randomization; choose from {', '.join(GROUPS)}")
    return GROUPS[group]
