"""Gymnasium environment with one simulation; the vector environment is faster."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from opendactyl.policy.env.env import HandEnv
from opendactyl.policy.env.episode_types import EnvConfig
from opendactyl.policy.env.gym_arguments import (
    RENDER_MODES,
    check_options,
    checked_bins,
    configs,
)
from opendactyl.policy.env.gym_observation import Observation, Observer, action_space, single
from opendactyl.sim.timing import CONTROL_PERIOD

_ONLY = np.zeros(1, dtype=np.intp)


class HandSingleEnv(gymnasium.Env[Observation, NDArray[Any]]):
    """In-hand reorientation with one simulation; each episode has its own initial state."""

    metadata = {"render_modes": list(RENDER_MODES), "render_fps": 1 / CONTROL_PERIOD}  # noqa: RUF012

    def __init__(self, config: EnvConfig | None = None, **options: Any) -> None:
        """Loads the scene.

        Args:
            config: the settings; `evaluation` does not apply.
            options: fields of `EnvConfig`, which replace those of `config`, or of `ViewConfig`;
                or `smoothing`.
        """
        config, views = configs(config, options, evaluation=True)
        self.render_mode = views.render_mode
        self._env = HandEnv(config, 1, threads=1)
        self._env.running[:] = False
        self._seeded = False
        self._observer = Observer(self._env, views)
        self.observation_space = self._observer.space
        self.action_space = action_space(self._env.hand_size.actuators)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Starts an episode; with a seed, all later episodes are reproducible.

        Raises:
            ValueError: there are options.
        """
        check_options(options)
        super().reset(seed=seed)
        if seed is None and not self._seeded:
            seed = int(self.np_random.integers(2**31))
        self._seeded = True
        if seed is None:
            policy, critic = self._env.restart(_ONLY)
        else:
            policy, critic = self._env.reset(seed)
        return single(self._observer.observe(policy, _ONLY)), {"critic": critic[0]}

    def step(self, action: NDArray[Any]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Takes one action (20,) of bins.

        Raises:
            InvalidAction: it has another shape, or a value is NaN or out of range.
            ResetNeeded: the episode has ended, or none has begun.
        """
        bins = checked_bins(action, (self._env.hand_size.actuators,))
        if not self._env.running[0]:
            raise ResetNeeded("the episode has ended, or none has begun; call reset")
        step = self._env.step(bins[None])
        info = {"critic": step.critic[0], "goals": int(step.goals[0])}
        return (
            single(self._observer.observe(step.policy, _ONLY)), float(step.reward[0]),
            bool(step.terminated[0]), bool(step.truncated[0]), info,
        )  # fmt: skip

    def render(self) -> NDArray[np.uint8] | None:
        """The current frame (H, W, 3)."""
        frames = self._observer.frames()
        return None if frames is None else frames[0]

    def close(self) -> None:
        """Closes the renderers. Further calls have no effect."""
        self._observer.close()
