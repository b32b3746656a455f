"""Initial states of episodes."""

import numpy as np

from opendactyl.geometry.rotation import Array
from opendactyl.policy.interface.tasks import START_STREAM
from opendactyl.sim.initial_states import settled_state
from opendactyl.sim.scene import Scene

BANK_SIZE = 256
"""Number of initial states for training; each is generated when it is first used."""


class InitialStates:
    """Initial states; that of an episode depends on (seed, episode) only."""

    def __init__(self, scene: Scene, seed: int, *, actions: int, shared: bool) -> None:
        """Generates no state yet.

        Args:
            scene: the nominal scene.
            seed: seed of the environment.
            actions: largest number of random actions before an episode.
            shared: choose from a bank of `BANK_SIZE` states; otherwise generate one per episode.
        """
        self._scene, self._seed, self._actions, self._shared = scene, seed, actions, shared
        self._bank: dict[int, Array] = {}

    def qpos(self, episode: int) -> Array:
        """The initial qpos (nq,) of an episode."""
        if not self._shared:
            return self._settle(episode)
        number = int(np.random.default_rng([self._seed, episode, START_STREAM]).integers(BANK_SIZE))
        if number not in self._bank:
            self._bank[number] = self._settle(number)
        return self._bank[number]

    def _settle(self, number: int) -> Array:
        rng = np.random.default_rng([self._seed, number, START_STREAM])
        return self._scene.qpos(settled_state(self._scene, rng, self._actions))
