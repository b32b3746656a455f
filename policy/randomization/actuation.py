"""Disturbances of actuation: noise, delay, pushes, and the duration of steps.

Each class handles simulations `ids` (K,) and stores the state of all B; `begin` starts episodes.
"""

import numpy as np
from numpy.typing import NDArray

from opendactyl.geometry.rotation import Array
from opendactyl.policy.randomization.config import RandomizationConfig
from opendactyl.policy.randomization.rng import EpisodeStreams
from opendactyl.sim.timing import SUBSTEPS, TIMESTEP

Ids = NDArray[np.intp]
Episode = dict[str, NDArray]
"""Parameters of the current episodes: the fields of `Physics`, stacked over B simulations."""


def add_noise(
    targets: Array, half: Array, centre: Array, ids: Ids, streams: EpisodeStreams,
    episode: Episode,
) -> Array:  # fmt: skip
    """Targets (K, 20) with noise, an offset and a scale; the widths are fractions of the range.

    Args:
        targets: in radians.
        half: half the range of each (20,).
        centre: centre of the range of each (20,).
        ids: the simulations (K,).
        streams: random numbers of this action.
        episode: parameters of the episodes.
    """
    scale = 1 + episode["action_scale_offset"][ids]
    scale += episode["action_scale"][ids, None] * streams.normal("action_scale", ids)
    added = episode["action_bias"][ids]
    added += episode["action_noise"][ids, None] * streams.normal("action", ids)
    unit = (targets - centre) / half * scale + 2 * added
    return centre + half * np.clip(unit, -1, 1)


class Delay:
    """Delays some actuators by one action."""

    def __init__(self, num_envs: int, actuators: int) -> None:
        """Starts with zero targets."""
        self.last = np.zeros((num_envs, actuators))
        """The last targets (B, 20), in radians."""

    def begin(self, ids: Ids, targets: Array) -> None:
        """Starts episodes with the hand's current targets (K, 20)."""
        self.last[ids] = targets

    def __call__(self, targets: Array, ids: Ids, episode: Episode) -> Array:
        """Stores `targets` (K, 20); returns those that act now."""
        current = np.where(episode["action_delay"][ids], self.last[ids], targets)
        self.last[ids] = targets
        return current


class Pushes:
    """Rare forces on the object that decay."""

    def __init__(self, num_envs: int, config: RandomizationConfig) -> None:
        """Starts without forces."""
        self._config = config
        self.force = np.zeros((num_envs, 3))
        """The current forces (B, 3) in newtons."""

    def begin(self, ids: Ids) -> None:
        """Starts episodes without forces."""
        self.force[ids] = 0.0

    def __call__(self, mass: Array, ids: Ids, streams: EpisodeStreams, episode: Episode) -> None:
        """Updates the forces by one action; `mass` (K,) is that of the objects in kilograms."""
        new = self._config.force_scale * mass[:, None] * streams.normal("force", ids)
        pushed = streams.uniform("push", ids)[:, 0] < episode["force_chance"][ids]
        decayed = self._config.force_decay * self.force[ids]
        self.force[ids] = np.where(pushed[:, None], new, decayed)


def timestep(ids: Ids, streams: EpisodeStreams, episode: Episode) -> Array:
    """Physics steps (K,) in seconds: nominal plus the mean of an action's exponential additions."""
    total = -np.log1p(-streams.uniform("timestep", ids).astype(np.float64)).sum(axis=1)
    return TIMESTEP + episode["timestep_extra"][ids] * total / SUBSTEPS
