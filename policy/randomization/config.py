"""Randomization ranges of physics and observations, with their sources.

The table of `docs/physics.md` is generated from the fields. `physics.sample` samples from them.
"""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from opendactyl.core.config_fields import ByName, check_ranges, load_preset, randomized
from opendactyl.core.errors import InputError

Range = tuple[float, float]
Ranges = Range | ByName
"""One range for all, or ranges by joint, actuator or link."""
AUTOMATIC: tuple[str, ...] = ("adr", "adr-d19")
"""Names of automatic domain randomization, see `randomization.adr`."""
LIMITS = {
    "object_size": (0.1, 10.0),
    "object_mass": (1e-3, math.inf),
    "link_mass": (1e-3, math.inf),
    "actuator_failure": (0.0, 1.0),
    "action_delay": (0.0, 1.0),
    "force_chance": (0.0, 1.0),
    "force_decay": (0.0, 1.0),
    "pose_injection": (0.0, 1.0),
    "joint_friction": (-math.inf, math.inf),
    "joint_offset_centre": (-math.pi, math.pi),
    "actuator_delay": (0.0, 1.0),
}
"""Limits of the values, where they are not 0 and infinity."""


@dataclass(frozen=True, kw_only=True)
class RandomizationConfig:
    """The distributions of an episode's parameters. The defaults are the `dactyl` preset."""

    object_size: Range = randomized((0.95, 1.05), "object's dimensions", "× uniform", "D18 Table 1")
    object_mass: Range = randomized(
        (0.5, 1.5), "object's mass and inertia", "× uniform", "D18 Table 1"
    )
    link_mass: Ranges = randomized(
        (0.5, 1.5), "each link's mass and inertia", "× uniform", "D18 Table 1", names="link"
    )
    friction: Range = randomized((0.7, 1.3), "friction of all surfaces", "× uniform", "D18 Table 1")
    joint_damping: Ranges = randomized(
        (0.3, 3.0), "each joint's damping", "× log-uniform", "D18 Table 1", names="joint"
    )
    joint_armature: Ranges = randomized(
        (1.0, 1.0), "each joint's armature", "× log-uniform", "ours", names="joint", optional=True
    )
    joint_friction: Ranges = randomized(
        (0.0, 0.0), "each joint's friction loss (N m), at least 0 in sum", "+ uniform", "ours",
        names="joint", optional=True,
    )  # fmt: skip
    actuator_gain: Ranges = randomized(
        (0.75, 1.5), "each actuator's gain", "× log-uniform", "D18 Table 1", names="actuator"
    )
    actuator_failure: float = randomized(
        0.0, "probability that an actuator gives no torque throughout", "", "robogym: 0.001"
    )
    joint_limits: float = randomized(0.15, "each joint limit (rad)", "+ normal", "D18 Table 1")
    gravity: float = randomized(0.4, "each coordinate of gravity (m/s²)", "+ normal", "D18 Table 1")
    timestep_rate: Range = randomized(
        (1250.0, 10000.0),
        "rate of the exponential time added to every physics step (1/s; 0 adds none)",
        "uniform",
        "D18 C.2",
    )
    action_noise: float = randomized(
        0.05, "each target at each action (fraction of its range)", "+ normal", "D18 C.2"
    )
    action_bias: float = randomized(
        0.015, "each target throughout (fraction of its range)", "+ normal", "D18 C.2"
    )
    action_scale: float = randomized(
        0.0, "each target's distance from its range's centre, at each action", "× (1 + normal)",
        "D18 C.2: 0.015",
    )  # fmt: skip
    action_delay: float = randomized(
        0.5, "probability that an actuator is delayed by one action throughout", "", "D18 C.2"
    )
    action_scale_offset: float = randomized(
        0.03, "each target's distance from its range's centre, throughout", "× (1 + normal)",
        "robogym",
    )  # fmt: skip
    backlash_calibrated: bool = randomized(
        True, "backlash at the rates calibrated on OpenAI's hand", "", "D18 C.2, robogym"
    )
    actuator_delay: Ranges = randomized(
        (0.0, 0.0), "delay of each actuator throughout (s, rounded to physics steps)", "uniform",
        "ours", names="actuator", optional=True,
    )  # fmt: skip
    backlash_jitter: float = randomized(
        0.1, "each exponent of the calibrated backlash", "× (1 + normal)", "D18 C.2, robogym"
    )
    backlash_scale: float = randomized(1.0, "width of every slack", "×", "ours")
    backlash: Ranges = randomized(
        (0.0, 0.0),
        "rate at which each actuator takes up its slack, per direction, where it is not calibrated "
        "(1/s for half the range; 0: no slack)",
        "log-uniform",
        "after robogym's exponents, 2 to 4.25",
        names="actuator",
    )
    backlash_up: Ranges = randomized(
        (0.0, 0.0), "the same upwards, where `backlash` is for downwards alone (0: it is for both)",
        "log-uniform", "ours", names="actuator", optional=True,
    )  # fmt: skip
    force_chance: Range = randomized(
        (0.001, 0.1), "probability of a new push on the object per action", "log-uniform", "D18 C.2"
    )
    force_scale: float = randomized(
        1.0, "each coordinate of a push (m/s² × the object's mass)", "normal", "D18 C.2"
    )
    force_decay: float = randomized(0.99, "factor by which a push decays per action", "", "D18 C.2")
    fingertip_offset: float = randomized(
        0.001, "each fingertip's position throughout (m)", "+ normal", "D18 C.2"
    )
    fingertip_noise: float = randomized(
        0.002, "each fingertip's position at each action (m)", "+ normal", "D18 C.2"
    )
    fingertip_marker: float = randomized(
        0.003, "each fingertip marker's position on its nail (m)", "± uniform", "D18 C.2, robogym"
    )
    base_marker: float = randomized(
        0.001, "position of the hand-base markers (m)", "± uniform", "D18 C.2, robogym"
    )
    position_offset: float = randomized(
        0.005, "object's position throughout (m)", "+ normal", "D18 C.2"
    )
    position_noise: float = randomized(
        0.001, "object's position at each action (m)", "+ normal", "D18 C.2"
    )
    rotation_offset: float = randomized(
        0.1, "object's rotation vector throughout (rad)", "+ normal", "D18 C.2"
    )
    rotation_noise: float = randomized(
        0.1, "object's rotation vector at each action (rad)", "+ normal", "D18 C.2"
    )
    joint_offset: float | ByName = randomized(
        0.02, "each measured joint angle throughout (rad)", "+ normal", "ours", names="joint"
    )
    joint_offset_centre: float | ByName = randomized(
        0.0, "mean of that offset (rad)", "+", "ours", names="joint", optional=True
    )
    joint_noise: float = randomized(
        0.01, "each measured joint angle at each action (rad)", "+ normal", "ours"
    )
    marker_loss: float = randomized(0.2, "lost fingertip markers (1/s each)", "Poisson", "D18 C.2")
    marker_loss_seconds: float = randomized(1.0, "duration of a marker's loss (s)", "", "D18 C.2")
    occlusion: bool = randomized(
        True, "a fingertip marker in contact keeps its last reading", "", "D18 C.2"
    )
    pose_loss: float = randomized(0.02, "lost object poses (1/s)", "Poisson", "robogym")
    pose_loss_seconds: float = randomized(1.0, "duration of a pose's loss (s)", "", "after robogym")
    pose_delay: tuple[int, int] = randomized(
        (0, 0), "age of the object's pose (actions)", "uniform", "ours"
    )
    pose_period: tuple[int, int] = randomized(
        (1, 1), "period of new object poses (actions)", "uniform", "ours"
    )
    pose_injection: Range = randomized(
        (0.0, 0.0), "probability that a new pose is replaced by a random one", "uniform", "DeXtreme"
    )
    injected_position: float = randomized(
        0.03, "each coordinate of a random pose's position (m); its rotation is uniform",
        "+ normal", "ours",
    )  # fmt: skip

    hand: str = randomized(
        "", "name of the hand whose model the ranges refer to; no other is accepted", "", "ours",
        optional=True,
    )  # fmt: skip

    def __post_init__(self) -> None:
        """Raises an `InputError` for ranges that cannot be sampled."""
        check_ranges("randomization", self, LIMITS)
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            ranges = value.every if isinstance(value, ByName) else (value,)
            logarithmic = f.metadata["distribution"].endswith("log-uniform")
            if logarithmic and (wrong := [r for r in ranges if r[0] == 0 < r[1]]):
                raise InputError(
                    f"randomization {f.name} is {wrong[0]}; a log-uniform range cannot include 0"
                )
        slack = {n: v for n in ("backlash", "backlash_up") if (v := getattr(self, n)) != (0, 0)}
        if slack and (self.backlash_calibrated or "backlash" not in slack):
            raise InputError(
                f"randomization has {slack}, which needs backlash_calibrated = false and a backlash"
            )
        if (period := self.pose_period)[0] < 1:
            raise InputError(f"randomization pose_period is {period}; it must be at least 1")


def _no_randomization() -> RandomizationConfig:
    """Ranges of zero width."""
    ranges: dict[str, Any] = {}
    for f in dataclasses.fields(RandomizationConfig):
        if isinstance(f.default, str):
            continue
        one = 1.0 if f.metadata["distribution"].startswith("× ") else 0.0
        ranges[f.name] = (one, one) if isinstance(f.default, tuple) else 0.0
    kept = (
        "backlash_scale", "force_decay", "marker_loss_seconds", "pose_loss_seconds", "pose_delay",
        "pose_period",
    )  # fmt: skip
    for name in kept:
        del ranges[name]
    ranges["occlusion"] = ranges["backlash_calibrated"] = False
    return RandomizationConfig(**ranges)


PRESETS: dict[str, RandomizationConfig] = {
    "none": _no_randomization(),
    "dactyl": RandomizationConfig(),
    "dactyl-loguniform": RandomizationConfig(
        action_scale=0.015,
        action_scale_offset=0.0,
        backlash_calibrated=False,
        backlash=(7.4, 70.0),
    ),
    "wide": RandomizationConfig(object_mass=(0.5, 2.5), friction=(0.4, 1.3), actuator_failure=0.05),
    "vision": RandomizationConfig(
        pose_loss=0.2,
        pose_loss_seconds=0.5,
        pose_delay=(0, 2),
        pose_period=(1, 2),
        pose_injection=(0.0, 0.3),
    ),
}
"""`none` has zero width; `dactyl` is D18's Table 1 and its unmodelled effects, with backlash and
action noise of robogym; `dactyl-loguniform` samples backlash from a decade of rates instead;
`wide` is `dactyl` with heavier, slippery objects and dead actuators, for tests beyond the trained
ranges; `vision` is `dactyl` with the delays, rates, losses and outliers of an estimator's poses."""


def load_randomization(name: str) -> RandomizationConfig:
    """A preset by name, or a TOML file whose keys replace those of its `preset` (default dactyl).

    Raises:
        InputError: no such preset or file, or the file has an unknown key or a wrong value.
    """
    if name in AUTOMATIC:
        raise InputError(
            f"randomization {name!r} is for train-policy; elsewhere, give the ranges that such a "
            "run has reached: RUN/ranges.toml"
        )
    return load_preset("randomization", name, PRESETS)
