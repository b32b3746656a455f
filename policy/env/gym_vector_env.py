"""Gymnasium vector environment."""

import copy
from typing import Any

import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from opendactyl.core.errors import InputError
from opendactyl.policy.env.env import HandEnv
from opendactyl.policy.env.episode_types import EnvConfig, Step
from opendactyl.policy.env.gym_arguments import (
    RENDER_MODES,
    autoreset,
    checked_bins,
    checked_mask,
    configs,
)
from opendactyl.policy.env.gym_observation import (
    Observation,
    Observer,
    action_space,
    merged,
    single,
)
from opendactyl.policy.env.reward import RUNNING
from opendactyl.sim.timing import CONTROL_PERIOD

Flags = NDArray[np.bool_]


class HandVectorEnv(VectorEnv[Observation, NDArray[Any], Flags]):
    """Batched in-hand reorientation."""

    def __init__(
        self,
        config: EnvConfig | None = None,
        num_envs: int = 1,
        seed: int | None = None,
        threads: int = 0,
        autoreset_mode: str | AutoresetMode = AutoresetMode.SAME_STEP,
        **options: Any,
    ) -> None:
        """Loads the scene.

        Args:
            config: the settings; `evaluation` does not apply.
            num_envs: number of simulations B.
            seed: random seed until a reset sets another; None draws one.
            threads: threads that step them; 0 means one per core.
            autoreset_mode: when ended episodes restart: SAME_STEP, NEXT_STEP or DISABLED.
            options: fields of `EnvConfig`, which replace those of `config`, or of `ViewConfig`;
                or `smoothing`.
        """
        config, views = configs(config, options, evaluation=False)
        self.num_envs = num_envs
        self._env = HandEnv(config, num_envs, threads=threads)
        self._env.restarts = False
        self.autoreset_mode = autoreset(autoreset_mode)
        self._first_seed = seed
        self._observer = Observer(self._env, views)
        self.render_mode = views.render_mode
        self.metadata = {
            "render_modes": list(RENDER_MODES),
            "render_fps": 1 / CONTROL_PERIOD,
            "autoreset_mode": self.autoreset_mode,
        }
        self.single_observation_space = self._observer.space
        self.single_action_space = action_space(self._env.hand_size.actuators)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._last: tuple[Observation, NDArray[np.float32]] | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Starts episodes; with a seed, all later episodes are reproducible.

        Args:
            seed: seed of all simulations; None starts the next episodes.
            options: `reset_mask`, the simulations (B,) that restart; the others continue, and
                their last observations are returned.

        Raises:
            InputError: there is more than one seed, or a seed for a part of the simulations.
            ValueError: the mask is not valid, or there are other options.
            ResetNeeded: a part is restarted before all have begun.
        """
        mask = checked_mask(options, self.num_envs)
        if seed is not None and not isinstance(seed, int | np.integer):
            raise InputError("one seed is used for all simulations; pass an int, not a list")
        if seed is not None and not mask.all():
            raise InputError("a seed applies to all simulations; leave out seed or reset_mask")
        if self._last is None and not mask.all():
            raise ResetNeeded("reset all simulations before a part of them")
        super().reset(seed=None if seed is None else int(seed))
        ids = np.flatnonzero(mask)
        if self._last is None and seed is None:
            drawn = self._first_seed
            seed = int(self.np_random.integers(2**31)) if drawn is None else drawn
        policy, critic = self._env.restart(ids) if seed is None else self._env.reset(int(seed))
        observation = self._observer.observe(policy, ids)
        if self._last is not None and not mask.all():
            last, last_critic = self._last
            observation, whole = merged(last, ids, observation), last_critic.copy()
            whole[ids] = critic
            critic = whole
        return self._returned(observation, critic), {"critic": critic, "_critic": mask}

    def step(
        self, actions: NDArray[Any]
    ) -> tuple[Observation, NDArray[np.float64], Flags, Flags, dict[str, Any]]:
        """Takes one action (B, 20) of bins in every simulation.

        Raises:
            InvalidAction: they have another shape, or a value is NaN or out of range.
            ResetNeeded: no episode has begun, or one has ended and the mode is DISABLED.
        """
        bins = checked_bins(actions, (self.num_envs, self._env.hand_size.actuators))
        restarting = ~self._env.running
        if self._last is None or (
            self.autoreset_mode == AutoresetMode.DISABLED and restarting.any()
        ):
            raise ResetNeeded("an episode has ended, or none has begun; call reset")
        step = self._env.step(bins)
        policy, critic = step.policy, step.critic
        if restarting.any():  # their episodes ended in the last step
            ids = np.flatnonzero(restarting)
            policy[ids], critic[ids] = self._env.restart(ids)
        observation = self._observer.observe(policy, np.arange(self.num_envs))
        reward = np.where(restarting, 0.0, step.reward.astype(np.float64))
        info: dict[str, Any] = {"goals": np.where(restarting, 0, step.goals)}
        ended = (step.outcome != RUNNING) & ~restarting
        if ended.any() and self.autoreset_mode == AutoresetMode.SAME_STEP:
            info |= self._final(observation, step, ended)
            ids = np.flatnonzero(ended)
            policy, critic[ids] = self._env.restart(ids)
            observation = merged(observation, ids, self._observer.observe(policy, ids))
        info |= {"critic": critic} | {f"_{key}": self._all() for key in ("critic", "goals")}
        return (
            self._returned(observation, critic), reward, step.terminated & ~restarting,
            step.truncated & ~restarting, info,
        )  # fmt: skip

    def _all(self) -> Flags:
        return np.ones(self.num_envs, dtype=bool)

    def _final(self, observation: Observation, step: Step, ended: Flags) -> dict[str, Any]:
        """The last observations and infos of the episodes that ended, as Gymnasium stores them."""
        last = np.full(self.num_envs, None, dtype=object)
        for number in np.flatnonzero(ended).tolist():
            last[number] = single(observation, number)
        info = {"critic": step.critic.copy(), "goals": step.goals}
        masks = {f"_{key}": ended for key in info}
        return {
            "final_obs": last, "_final_obs": ended,
            "final_info": info | masks, "_final_info": ended,
        }  # fmt: skip

    def _returned(self, observation: Observation, critic: NDArray[np.float32]) -> Observation:
        """Keeps copies of the observations, for resets of a part; returns the observation."""
        self._last = copy.deepcopy(observation), critic.copy()
        return observation

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """The current frames (H, W, 3) of all simulations."""
        return self._observer.frames()

    def close_extras(self, **kwargs: Any) -> None:
        """Closes the renderers."""
        self._observer.close()
