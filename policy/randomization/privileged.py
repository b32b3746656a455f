"""What the critic observes of the randomization: sampled parameters and the actuators' state.

An asymmetric critic may observe what a robot cannot measure (D18 4.3). With the parameters and the
state of the actuators the physics of preset `dactyl` is nearly Markovian to it. It does not observe
what fitted ranges alone randomize: delays in seconds, armature and friction loss.
"""

import dataclasses
import functools

import numpy as np

from opendactyl.geometry.rotation import Array
from opendactyl.policy.randomization.config import PRESETS
from opendactyl.policy.randomization.physics import Physics, sample
from opendactyl.sim.hands.spec import HandSpec
from opendactyl.sim.timing import CONTROL_PERIOD

UNOBSERVED = (
    "fingertip_marker", "link_mass", "action_noise", "action_scale", "joint_armature",
    "joint_friction", "actuator_delay",
)  # fmt: skip
"""Parameters that are left out: many numbers with little effect, what `strength` implies, and those
that came later, so that trained critics fit."""
LOGARITHMIC = ("object_size", "object_mass", "friction", "joint_damping", "actuator_gain")
MILLI = ("timestep_extra", "fingertip_offset", "position_offset")
"""Parameters given in milliseconds and millimetres: the normaliser adds 1e-6 to variances."""


def episode_parameters(physics: Physics) -> Array:
    """The parameters of an episode (P,): factors as logarithms, lengths in millimetres.

    Backlash is given as the slack's width: the command, in the unit of its rate, that takes up half
    of it in one action.
    """
    values = {f.name: np.asarray(getattr(physics, f.name)) for f in dataclasses.fields(Physics)}
    for name in LOGARITHMIC:
        values[name] = np.log(np.maximum(values[name], 1e-3))
    for name in MILLI:
        values[name] = 1000 * values[name]
    rate = values["backlash"]
    values["backlash"] = np.where(rate > 0, 1 / np.maximum(rate * CONTROL_PERIOD, 0.1), 0.0)
    return np.concatenate([np.ravel(v) for k, v in values.items() if k not in UNOBSERVED])


@functools.cache
def episode_size(hand: HandSpec) -> int:
    """Length of `episode_parameters` for a hand."""
    return len(episode_parameters(sample(np.random.default_rng(0), PRESETS["none"], hand, ("",))))


def privileged_size(hand: HandSpec) -> int:
    """Length of what the critic observes of the randomization.

    The episode's parameters, the position of each actuator within its slack, the delayed targets,
    and the push on the object (3).
    """
    return episode_size(hand) + 2 * len(hand.actuators) + 3
