"""Random numbers of every action, from one independent stream per episode."""

import numpy as np
from numpy.typing import NDArray

from opendactyl.policy.interface.observations import HandSize
from opendactyl.sim.timing import SUBSTEPS

NOISE_STREAM = 14
BLOCK = 32
"""Actions whose numbers are generated at once."""


def normal_numbers(hand: HandSize) -> dict[str, int]:
    """Standard normal numbers per action, by use."""
    return {
        "fingertips": hand.fingertips * 3,
        "position": 3,
        "rotation": 3,
        "joints": hand.joints,
        "action": hand.actuators,
        "action_scale": hand.actuators,
        "force": 3,
        "injected_position": 3,
        "injected_rotation": 4,
    }


def uniform_numbers(hand: HandSize) -> dict[str, int]:
    """Numbers uniform on [0, 1) per action, by use."""
    return {
        "marker_loss": hand.fingertips,
        "pose_loss": 1,
        "injection": 1,
        "push": 1,
        "timestep": SUBSTEPS,
    }


class EpisodeStreams:
    """Random numbers for B simulations, each from the generator of its episode."""

    def __init__(self, num_envs: int, seed: int, hand: HandSize) -> None:
        """Allocates the blocks; call `begin` before use."""
        self._seed = seed
        self._rngs = [np.random.default_rng(0)] * num_envs
        self._cursor = np.zeros(num_envs, dtype=np.intp)
        self._normal, self._normal_at = _block(num_envs, normal_numbers(hand))
        self._uniform, self._uniform_at = _block(num_envs, uniform_numbers(hand))

    def begin(self, ids: NDArray[np.intp], episodes: NDArray[np.int64]) -> None:
        """Starts the streams of new episodes in simulations `ids` (K,)."""
        for i, episode in zip(ids, episodes, strict=True):
            self._rngs[i] = np.random.default_rng([self._seed, int(episode), NOISE_STREAM])
        self._cursor[ids] = BLOCK - 1

    def advance(self, ids: NDArray[np.intp]) -> None:
        """Advances simulations `ids` to the numbers of their next action."""
        self._cursor[ids] += 1
        for i in ids[self._cursor[ids] == BLOCK]:
            self._rngs[i].standard_normal(out=self._normal[i], dtype=np.float32)
            self._rngs[i].random(out=self._uniform[i], dtype=np.float32)
            self._cursor[i] = 0

    def normal(self, use: str, ids: NDArray[np.intp]) -> NDArray[np.float32]:
        """The current standard normal numbers (K, n) for a use."""
        return self._normal[ids, self._cursor[ids], self._normal_at[use]]

    def uniform(self, use: str, ids: NDArray[np.intp]) -> NDArray[np.float32]:
        """The current numbers (K, n) uniform on [0, 1) for a use."""
        return self._uniform[ids, self._cursor[ids], self._uniform_at[use]]


def _block(num_envs: int, sizes: dict[str, int]) -> tuple[NDArray[np.float32], dict[str, slice]]:
    ends = np.cumsum(list(sizes.values()))
    where = {
        use: slice(end - size, end) for (use, size), end in zip(sizes.items(), ends, strict=True)
    }
    return np.zeros((num_envs, BLOCK, ends[-1]), dtype=np.float32), where
