"""Gymnasium environment with one simulation; the vector environment is faster."""

from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from opendactyl.policy.env.env import HandEnv
from opendactyl.policy.env.episode_types import EnvConfig
from opendactyl.policy.env.gym_vector_env import BOUND
from opendactyl.policy.interface.actions import BINS
from opendactyl.sim.hands.names import ACTUATORS, CONTROL_PERIOD


class HandSingleEnv(gymnasium.Env[NDArray[np.float32], NDArray[np.int64]]):
    """In-hand reorientation with one simulation; each episode has its own initial state."""

    metadata = {"render_modes": [], "render_fps": round(1 / CONTROL_PERIOD)}  # noqa: RUF012

    def __init__(self, config: EnvConfig | None = None, **options: Any) -> None:
        """Loads the scene.

        Args:
            config: the settings.
            options: fields of `EnvConfig`, instead of `config`.
        """
        config = replace(config or EnvConfig(**options), evaluation=True)
        self._env = HandEnv(config, 1, threads=1, first_episode=-1)
        size = self._env.observation_size
        self.observation_space = spaces.Box(-BOUND, BOUND, (size,), np.float32)
        self.action_space = spaces.MultiDiscrete([BINS] * len(ACTUATORS))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Starts an episode; with a seed, all later episodes are reproducible."""
        super().reset(seed=seed)
        self._env.first_episode = self._env.first_episode + 1 if seed is None else 0
        policy, critic = self._env.reset(seed)
        return policy[0], {"critic": critic[0]}

    def step(
        self, action: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Takes one action (20,) of bins."""
        step = self._env.step(np.asarray(action)[None])
        info = {"critic": step.final_critic[0], "goals": int(step.goals[0])}
        return (
            step.final_policy[0], float(step.reward[0]), bool(step.terminated[0]),
            bool(step.truncated[0]), info,
        )  # fmt: skip
