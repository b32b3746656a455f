"""Physics parameters of one episode and their sampling.

`model_fields` writes them into a simulation; `actuation` and `sensing` apply them at each action.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opendactyl.core.config_fields import for_names
from opendactyl.geometry.rotation import Array
from opendactyl.policy.randomization.actuation import delay_steps
from opendactyl.policy.randomization.backlash import sample_rates
from opendactyl.policy.randomization.config import RandomizationConfig, Ranges
from opendactyl.sim.hands.spec import HandSpec


@dataclass(frozen=True, kw_only=True, eq=False)
class Physics:
    """Parameters of one episode: factors where the table has ×, offsets where it has +."""

    strength: float
    """Fraction of the ranges of body and actuation that the episode was sampled from."""
    object_size: float
    object_mass: float
    link_mass: Array
    """Per body of the hand (L,)."""
    friction: float
    joint_damping: Array
    """(24,)."""
    actuator_gain: Array
    """(20,)."""
    joint_limits: Array
    """Offsets of the lower and upper limits (24, 2), in radians."""
    gravity: Array
    """Offset of gravity (3,), in m/s²."""
    timestep_extra: float
    """Mean extension of a physics step, in seconds."""
    action_bias: Array
    """Fraction of the range (20,)."""
    action_noise: float
    """Standard deviation at each action, as a fraction of the range."""
    action_scale: float
    """Standard deviation at each action of the factor on the distance from the range's centre."""
    action_delay: NDArray[np.bool_]
    """Whether an actuator is delayed by one action (20,)."""
    action_scale_offset: Array
    """Relative error of the target's distance from the centre of its range (20,)."""
    backlash: Array
    """Rates (2, 20) downwards and upwards, see `backlash.sample_rates`."""
    force_chance: float
    fingertip_offset: Array
    """In the hand frame (5, 3), in metres."""
    fingertip_marker: Array
    """In the fingertips' frames (5, 3), in metres."""
    position_offset: Array
    """(3,) in metres."""
    rotation_offset: Array
    """Rotation vector (3,) in radians."""
    joint_offset: Array
    """(24,) in radians."""
    pose_delay: int
    pose_period: int
    pose_injection: float
    joint_armature: Array
    """(24,)."""
    joint_friction: Array
    """Added to the friction loss of each joint (24,), in N m."""
    actuator_delay: NDArray[np.int64]
    """In physics steps (20,)."""

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able form."""
        return {
            f.name: value.tolist()
            if isinstance(value := getattr(self, f.name), np.ndarray)
            else value
            for f in dataclasses.fields(self)
        }


_NOT_YET: dict[str, Any] = dict.fromkeys(
    ("joint_armature", "joint_friction", "actuator_delay"), np.zeros(0)
)
"""Stands for what `sample` samples after the other fields."""


def sample(
    rng: np.random.Generator,
    config: RandomizationConfig,
    hand: HandSpec,
    links: Sequence[str],
    strength: float = 1.0,
) -> Physics:
    """Samples the parameters of an episode.

    Args:
        rng: the generator; the numbers taken from it do not depend on `strength`.
        config: the ranges, see `backlash.for_hand`.
        hand: the hand.
        links: names (L,) of the hand's bodies with mass.
        strength: from 0, the nominal body and actuation, to 1, the full ranges. Factors near 1 are
            interpolated linearly, log-uniform ones geometrically; slack is proportional to it. The
            ranges of the measurements are not changed.
    """
    joints, actuators, tips = len(hand.joints), len(hand.actuators), (len(hand.fingertips), 3)
    rate = rng.uniform(*config.timestep_rate)
    base = rng.uniform(-1, 1, 3) * config.base_marker
    physics = Physics(
        strength=strength,
        object_size=float(_uniform_factor(rng, config.object_size, strength)),
        object_mass=float(_uniform_factor(rng, config.object_mass, strength)),
        link_mass=_uniform_factor(rng, config.link_mass, strength, links),
        friction=float(_uniform_factor(rng, config.friction, strength)),
        joint_damping=_log_uniform(rng, config.joint_damping, hand.joints) ** strength,
        actuator_gain=_log_uniform(rng, config.actuator_gain, hand.actuators) ** strength,
        joint_limits=strength * rng.normal(0, config.joint_limits, (joints, 2)),
        gravity=strength * rng.normal(0, config.gravity, 3),
        timestep_extra=strength / rate if rate > 0 else 0.0,
        action_bias=strength * rng.normal(0, config.action_bias, actuators),
        action_delay=rng.random(actuators) < strength * config.action_delay,
        backlash=sample_rates(rng, config, hand, strength),
        force_chance=strength * float(_log_uniform(rng, config.force_chance, ("",))[0]),
        fingertip_offset=rng.normal(0, config.fingertip_offset, tips) + base,
        fingertip_marker=rng.uniform(-1, 1, tips) * config.fingertip_marker,
        position_offset=rng.normal(0, config.position_offset, 3) + base,
        rotation_offset=rng.normal(0, config.rotation_offset, 3),
        joint_offset=rng.normal(0, for_names(config.joint_offset, hand.joints), joints),
        pose_delay=int(rng.integers(*config.pose_delay, endpoint=True)),
        pose_period=int(rng.integers(*config.pose_period, endpoint=True)),
        pose_injection=float(rng.uniform(*config.pose_injection)),
        action_noise=strength * config.action_noise,
        action_scale=strength * config.action_scale,
        action_scale_offset=strength * rng.normal(0, config.action_scale_offset, actuators),
        **_NOT_YET,
    )
    return _completed(rng, physics, config, hand)


def _completed(
    rng: np.random.Generator, physics: Physics, config: RandomizationConfig, hand: HandSpec
) -> Physics:
    """Adds what is sampled last, so that the other numbers are those of earlier versions."""
    strength = physics.strength
    alive = rng.random(len(hand.actuators)) >= strength * config.actuator_failure
    armature = _log_uniform(rng, config.joint_armature, hand.joints) ** strength
    friction = strength * _uniform(rng, config.joint_friction, hand.joints)
    delay = strength * _uniform(rng, config.actuator_delay, hand.actuators)
    return dataclasses.replace(
        physics,
        actuator_gain=physics.actuator_gain * alive,
        joint_offset=physics.joint_offset + for_names(config.joint_offset_centre, hand.joints),
        joint_armature=armature,
        joint_friction=friction,
        actuator_delay=delay_steps(delay),
    )


def _uniform_factor(
    rng: np.random.Generator, bounds: Ranges, strength: float, names: Sequence[str] | None = None
) -> Any:
    """A uniform factor, or one for each name, moved towards 1 for a strength below 1."""
    low, high = for_names(bounds, names or ())
    value = rng.uniform(low, high, None if names is None else len(names))
    return value if strength == 1 else 1 + strength * (value - 1)


def _uniform(rng: np.random.Generator, bounds: Ranges, names: Sequence[str]) -> Array:
    low, high = for_names(bounds, names)
    return rng.uniform(low, high, len(names))


def _log_uniform(
    rng: np.random.Generator, bounds: Ranges, names: Sequence[str]
) -> NDArray[np.float64]:
    """Log-uniform numbers, one for each name; zeros for the range (0, 0)."""
    if bounds == (0, 0):
        return np.zeros(len(names))
    low, high = np.log(np.maximum(for_names(bounds, names), 1e-30))
    return np.exp(rng.uniform(low, high, len(names)))
