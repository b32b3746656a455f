"""Gymnasium vector environment."""

from dataclasses import replace
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from opendactyl.core.errors import InputError
from opendactyl.policy.env.env import HandEnv
from opendactyl.policy.env.episode_types import EnvConfig
from opendactyl.policy.env.reward import RUNNING
from opendactyl.policy.interface.actions import BINS
from opendactyl.sim.hands.names import ACTUATORS, CONTROL_PERIOD

Observation = NDArray[np.float32]
BOUND = 100.0
"""Bound of every observed value, in metres or radians; episodes end long before it is reached."""


class HandVectorEnv(VectorEnv[Observation, NDArray[np.int64], NDArray[np.bool_]]):
    """Batched in-hand reorientation; ended episodes restart within the same step."""

    def __init__(
        self,
        config: EnvConfig | None = None,
        num_envs: int = 1,
        seed: int = 0,
        threads: int = 0,
        **options: Any,
    ) -> None:
        """Loads the scene.

        Args:
            config: the settings; `evaluation` does not apply.
            num_envs: number of simulations.
            seed: random seed until a reset sets another.
            threads: threads that step them; 0 means one per core.
            options: fields of `EnvConfig`, instead of `config`.
        """
        config = replace(config or EnvConfig(**options), evaluation=False)
        self.num_envs = num_envs
        self._env = HandEnv(config, num_envs, seed=seed, threads=threads)
        self.metadata = {
            "render_fps": 1 / CONTROL_PERIOD,
            "autoreset_mode": AutoresetMode.SAME_STEP,
        }
        self.single_observation_space = spaces.Box(
            -BOUND, BOUND, (self._env.observation_size,), np.float32
        )
        self.single_action_space = spaces.MultiDiscrete([BINS] * len(ACTUATORS))
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Restarts all episodes; with a seed, all later episodes are reproducible."""
        if isinstance(seed, list):
            raise InputError("one seed is used for all simulations; pass an int, not a list")
        policy, critic = self._env.reset(seed)
        return policy, {"critic": critic}

    def step(
        self, actions: NDArray[np.int64]
    ) -> tuple[
        Observation, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]
    ]:
        """Takes one action (B, 20) of bins in every simulation."""
        step = self._env.step(np.asarray(actions))
        info: dict[str, Any] = {"critic": step.critic, "goals": step.goals}
        ended = step.outcome != RUNNING
        if ended.any():
            info |= {"final_obs": step.final_policy, "_final_obs": ended}
        reward = step.reward.astype(np.float64)
        return step.policy, reward, step.terminated, step.truncated, info
