"""Disturbances of actuation: noise, delay, pushes, and the duration of steps.

Each class handles simulations `ids` (K,) and stores the state of all B; `begin` starts episodes.
"""

import numpy as np
from numpy.typing import NDArray

from opendactyl.core.config_fields import ByName
from opendactyl.geometry.rotation import Array
from opendactyl.policy.randomization.config import RandomizationConfig, Ranges
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


class StepDelay:
    """Delays each actuator by a whole number of physics steps, within actions and across them."""

    def __init__(self, num_envs: int, actuators: int, max_steps: int) -> None:
        """Starts with zero targets; `max_steps` is the longest delay in physics steps."""
        self._sent = np.zeros((num_envs, 1 + max_steps // SUBSTEPS, actuators))
        self._applied = np.zeros((num_envs, actuators))

    def begin(self, ids: Ids, targets: Array) -> None:
        """Starts episodes with the hand's current targets (K, 20)."""
        self._sent[ids], self._applied[ids] = targets[:, None], targets

    def send(self, targets: Array, ids: Ids) -> None:
        """Takes the targets (K, 20) of the next action."""
        self._sent[ids] = np.concatenate([targets[:, None], self._sent[ids, :-1]], axis=1)

    def arriving(self, step: int, ids: Ids, episode: Episode) -> tuple[Array, NDArray[np.bool_]]:
        """The targets (K, 20) that arrive last, and which of them do so in a step of the action."""
        actions, steps = np.divmod(episode["actuator_delay"][ids], SUBSTEPS)
        return np.take_along_axis(self._sent[ids], actions[:, None], axis=1)[:, 0], steps == step

    def apply(self, targets: Array, arrived: NDArray[np.bool_], ids: Ids) -> Array:
        """The targets (K, 20) that act: those that arrived, and the earlier ones of the others."""
        self._applied[ids] = np.where(arrived, targets, self._applied[ids])
        return self._applied[ids]


def delay_steps(seconds: Array) -> NDArray[np.int64]:
    """Delays in physics steps."""
    return np.rint(np.asarray(seconds) / TIMESTEP).astype(np.int64)


def longest_delay(delays: Ranges) -> int:
    """The longest delay of some ranges, in physics steps."""
    ranges = delays.every if isinstance(delays, ByName) else (delays,)
    return int(delay_steps(np.array(ranges)).max())


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
