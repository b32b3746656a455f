"""Observations and frames of the Gymnasium environments."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from opendactyl.core.errors import InputError
from opendactyl.policy.env.env import HandEnv
from opendactyl.policy.env.gym_arguments import ViewConfig
from opendactyl.policy.interface.actions import BINS
from opendactyl.policy.interface.observations import (
    Measurement,
    build_observation,
    layout_size,
)

Observation = NDArray[np.float32] | dict[str, NDArray[Any]]
BOUND = 100.0
"""Bound of every observed value, in metres or radians; episodes end long before it is reached."""
_BESIDE_IMAGES = ("fingertips", "goal_quaternion", "previous_targets", "joints")
STATE = "state"
"""Key of the vector that accompanies images."""


def action_space(actuators: int) -> spaces.MultiDiscrete:
    """The bins of one hand."""
    return spaces.MultiDiscrete([BINS] * actuators)


class Observer:
    """Observes the simulations of a `HandEnv`, and renders them if its configuration says so."""

    def __init__(self, env: HandEnv, config: ViewConfig) -> None:
        """Opens the renderers that are needed."""
        self._env = env
        self._render_mode = config.render_mode
        self._views = config.open(env.config.object, env.config.hand)
        self._images = config.observation == "images"
        if not self._images and "touch" in env.layout:
            raise InputError(
                f"layout {env.config.layout} is NaN where a hand does not measure touch and "
                "forces; choose d18, default, joints or cube"
            )
        self._fields = tuple(
            name
            for name in (*_BESIDE_IMAGES, "goal_hinges")
            if name in env.layout or name == "goal_quaternion"
        )
        self.space = self._space()
        """The observation space of one simulation."""

    def _space(self) -> spaces.Space[Any]:
        size = (
            layout_size(self._fields, self._env.hand_size)
            if self._images
            else self._env.observation_size
        )
        state = spaces.Box(-BOUND, BOUND, (size,), np.float32)
        if not self._images or self._views is None:
            return state
        image = (self._views.image_size, self._views.image_size, 3)
        named: dict[str, spaces.Space[Any]] = {STATE: state}
        for name in self._views.names:
            named[name] = spaces.Box(0, 255, image, np.uint8)
        return spaces.Dict(named)

    def observe(self, policy: NDArray[np.float32], ids: NDArray[np.intp]) -> Observation:
        """The current observations of simulations `ids` (K,), batched.

        Args:
            policy: the policy's observations (K, n).
            ids: numbers of the simulations.
        """
        if not self._images or self._views is None:
            return policy
        env, measured = self._env, self._env.measured
        images = np.stack(
            [
                self._views.images(env.state(i), seed=env.seed, episode=int(env.episode[i]))
                for i in ids.tolist()
            ]
        )
        observed = Measurement(
            measured.fingertips[ids],
            measured.object_position[ids],
            measured.object_quaternion[ids],
            measured.joints[ids],
            hinges=measured.hinges[ids],
        )
        state = build_observation(
            self._fields, observed, env.goal[ids], env.decoder.scaled_targets[ids]
        )
        views = {name: images[:, view] for view, name in enumerate(self._views.names)}
        return {STATE: state} | views

    def frames(self) -> tuple[NDArray[np.uint8], ...] | None:
        """The current frames (H, W, 3) of all simulations; None without a render mode."""
        if self._render_mode is None or self._views is None:
            gymnasium.logger.warn('nothing is rendered without render_mode="rgb_array"')
            return None
        env, views = self._env, self._views
        return tuple(views.frame(env.state(i), env.goal[i]) for i in range(env.num_envs))

    def close(self) -> None:
        """Closes the renderers."""
        if self._views is not None:
            self._views.close()


def merged(old: Observation, ids: NDArray[np.intp], new: Observation) -> Observation:
    """A copy of batched observations in which `new` (K, …) replaces those of simulations `ids`."""
    if isinstance(old, dict) and isinstance(new, dict):
        return {name: merged(old[name], ids, new[name]) for name in old}  # pyright: ignore
    copy = np.array(old)
    copy[ids] = new
    return copy


def single(batch: Observation, number: int = 0) -> Observation:
    """The observation of one simulation of a batch."""
    if isinstance(batch, dict):
        return {name: values[number] for name, values in batch.items()}
    return batch[number]
