"""What happens between a policy's targets and the hand: noise, delay, slack, pushes, time.

Every piece works on simulations `ids` (K,) and keeps the state of all B; `begin` starts episodes.
"""

import numpy as np
from numpy.typing import NDArray

from opendactyl.geometry.rotation import Array
from opendactyl.policy.randomization.config import RandomizationConfig
from opendactyl.policy.randomization.rng import Chance
from opendactyl.sim.hands.names import ACTUATORS, CONTROL_PERIOD, SUBSTEPS, TIMESTEP

Ids = NDArray[np.intp]
Episode = dict[str, NDArray]
"""What the present episodes drew: the fields of `Physics`, stacked over B simulations."""


def noisy(
    targets: Array, half: Array, centre: Array, ids: Ids, chance: Chance, episode: Episode,
    config: RandomizationConfig,
) -> Array:  # fmt: skip
    """Targets (K, 20) with noise, an offset and a scale; the widths are shares of the range.

    Args:
        targets: in radians.
        half: half the range of each (20,).
        centre: the middle of the range of each (20,).
        ids: the simulations (K,).
        chance: the numbers of this action.
        episode: what the episodes drew.
        config: the widths.
    """
    scale = 1 + config.action_scale * chance.normal("action_scale", ids)
    added = episode["action_bias"][ids] + config.action_noise * chance.normal("action", ids)
    unit = (targets - centre) / half * scale + 2 * added
    return centre + half * np.clip(unit, -1, 1)


class Delay:
    """Some actuators act one action late."""

    def __init__(self, num_envs: int) -> None:
        """Starts without a past."""
        self._last = np.zeros((num_envs, len(ACTUATORS)))

    def begin(self, ids: Ids, targets: Array) -> None:
        """Starts episodes with the targets (K, 20) the hand already has."""
        self._last[ids] = targets

    def __call__(self, targets: Array, ids: Ids, episode: Episode) -> Array:
        """What acts now (K, 20); `targets` is remembered."""
        now = np.where(episode["action_delay"][ids], self._last[ids], targets)
        self._last[ids] = targets
        return now


class Backlash:
    """Slack in each tendon: turning back moves nothing until it is taken up.

    D18 C.2's rule on the distance between target and present angle, as a share of half the range:
    what is left of a command is the part of its increment that exceeds the slack (robogym).
    """

    def __init__(self, num_envs: int) -> None:
        """Starts with every tendon in the middle of its slack."""
        self._slack = np.zeros((num_envs, len(ACTUATORS)))

    def begin(self, ids: Ids) -> None:
        """Starts episodes in the middle of the slack."""
        self._slack[ids] = 0.0

    def __call__(
        self, targets: Array, actuated: Array, half: Array, ids: Ids, episode: Episode
    ) -> Array:
        """Targets (K, 20) that give only what the slack lets through.

        Args:
            targets: in radians (K, 20).
            actuated: present angles (K, 20).
            half: half the range of each (20,).
            ids: the simulations (K,).
            episode: what the episodes drew.
        """
        command = (targets - actuated) / half
        down, up = np.moveaxis(episode["backlash"][ids], 1, 0)
        rate = np.where(command < 0, down, up)
        slack, increment = self._slack[ids], command * rate * CONTROL_PERIOD
        left = np.abs(np.sign(command) - slack) / (np.abs(increment) + 1e-12)
        share = np.where(rate > 0, 1 - np.clip(left, 0, 1), 1.0)
        self._slack[ids] = np.clip(slack + increment, -1, 1)
        return actuated + share * (targets - actuated)


class Pushes:
    """Rare forces on the object that fade."""

    def __init__(self, num_envs: int, config: RandomizationConfig) -> None:
        """Starts without forces."""
        self._config = config
        self.force = np.zeros((num_envs, 3))
        """The present forces (B, 3) in newtons."""

    def begin(self, ids: Ids) -> None:
        """Starts episodes without forces."""
        self.force[ids] = 0.0

    def __call__(self, mass: Array, ids: Ids, chance: Chance, episode: Episode) -> None:
        """Moves the forces on by one action; `mass` (K,) is the objects' in kilograms."""
        new = self._config.force_scale * mass[:, None] * chance.normal("force", ids)
        hit = chance.uniform("push", ids)[:, 0] < episode["force_chance"][ids]
        faded = self._config.force_decay * self.force[ids]
        self.force[ids] = np.where(hit[:, None], new, faded)


def timestep(ids: Ids, chance: Chance, episode: Episode) -> Array:
    """Physics steps (K,) in seconds: nominal plus the mean of an action's exponential additions."""
    total = -np.log1p(-chance.uniform("timestep", ids).astype(np.float64)).sum(axis=1)
    return TIMESTEP + episode["timestep_extra"][ids] * total / SUBSTEPS
