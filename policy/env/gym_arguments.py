"""Settings of the Gymnasium environments, and checks of what is passed to `reset` and `step`."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from gymnasium.envs.registration import load_env_creator
from gymnasium.error import InvalidAction
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from opendactyl.core.errors import InputError
from opendactyl.geometry.rotation import Array
from opendactyl.policy.env.episode_types import EnvConfig
from opendactyl.policy.interface.actions import BINS
from opendactyl.sim.state import State

OBSERVATIONS = ("state", "images")
RENDER_MODES = ("rgb_array",)


class Views(Protocol):
    """Images of simulated states, from the cameras of a rig and from a spectator's camera."""

    names: tuple[str, ...]
    """Names of the cameras, in order."""
    image_size: int
    """Width and height of their images in pixels."""

    def images(self, state: State, *, seed: int, episode: int) -> NDArray[np.uint8]:
        """The cameras' images (V, H, W, 3); the appearance depends on seed and episode only."""
        ...

    def frame(self, state: State, goal: Array) -> NDArray[np.uint8]:
        """A frame (H, W, 3) of a video: the hand, and the goal's axes (4,) above the object."""
        ...

    def close(self) -> None:
        """Frees the graphics contexts. Further calls have no effect."""
        ...


@dataclass(frozen=True, kw_only=True)
class ViewConfig:
    """What the Gymnasium environments render."""

    render_mode: str | None = None
    """rgb_array, or None."""
    observation: str = "state"
    """state: the policy's observation. images: the cameras' images, and the fields that need no
    object pose."""
    image_size: int = 64
    """Width and height of each view of `images` in pixels."""
    rig: str | Path = "dactyl"
    """The cameras: a TOML file, or the name of a shipped rig."""
    renderer: str = "classic"
    """Renderer of the images: classic or filament."""
    appearance: str = "calibrated"
    """Appearance preset or TOML file, sampled once per episode."""
    views: str | Callable[..., Views] | None = None
    """Opens the `Views`: a callable, or MODULE:NAME. The registered environments pass it, because
    renderers may not be imported here."""

    def __post_init__(self) -> None:
        """Raises an `InputError` for invalid values."""
        if self.observation not in OBSERVATIONS:
            known = ", ".join(OBSERVATIONS)
            raise InputError(f"no observation {self.observation!r}; choose from {known}")
        if self.render_mode not in (None, *RENDER_MODES):
            known = ", ".join(RENDER_MODES)
            raise InputError(f"no render mode {self.render_mode!r}; choose {known} or None")

    def open(self, object_name: str, hand: str) -> Views | None:
        """Opens the views of a scene; None if nothing is rendered.

        Raises:
            InputError: `views` is missing, or there is no such rig, renderer or appearance.
            EnvironmentFailure: no graphics context is available.
        """
        if self.render_mode is None and self.observation == "state":
            return None
        if self.views is None:
            raise InputError("to render, make the environment with gymnasium.make or make_vec")
        opener: Any = self.views
        if isinstance(opener, str):
            opener = load_env_creator(opener)
        return opener(
            object_name,
            hand=hand,
            image_size=self.image_size,
            rig=self.rig,
            renderer=self.renderer,
            appearance=self.appearance,
        )


def configs(
    config: EnvConfig | None, options: dict[str, Any], *, evaluation: bool
) -> tuple[EnvConfig, ViewConfig]:
    """The settings from a constructor's arguments.

    Args:
        config: the settings of the environment, or None for the defaults.
        options: fields of `EnvConfig`, which replace those of `config`, and of `ViewConfig`; and
            `smoothing`, which replaces that of the action.
        evaluation: replaces the field of that name.
    """
    named = {field.name for field in fields(ViewConfig)}
    views = ViewConfig(**{name: options[name] for name in options if name in named})
    rest = {name: value for name, value in options.items() if name not in named}
    smoothing = rest.pop("smoothing", None)
    config = replace(config or EnvConfig(), **(rest | {"evaluation": evaluation}))
    if smoothing is not None:
        config = replace(config, action=replace(config.action_config(), smoothing=smoothing))
    return config, views


def autoreset(mode: str | AutoresetMode) -> AutoresetMode:
    """The mode of this name or value, such as `NEXT_STEP` or `NextStep`."""
    for known in AutoresetMode:
        if mode in (known, known.name, known.value):
            return known
    modes = ", ".join(known.name for known in AutoresetMode)
    raise InputError(f"no autoreset mode {mode!r}; choose from {modes}")


def checked_bins(actions: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    """Actions as an array of bins, which may be fractional.

    Raises:
        InvalidAction: they are not numbers of this shape from 0 to `BINS` - 1.
    """
    try:
        bins = np.asarray(actions)
    except ValueError as error:
        raise InvalidAction(f"the actions are not an array: {error}") from error
    if bins.dtype.kind not in "iuf" or bins.shape != shape:
        raise InvalidAction(
            f"the actions have shape {bins.shape} and type {bins.dtype}; they must be numbers of "
            f"shape {shape}"
        )
    if not ((bins >= 0) & (bins <= BINS - 1)).all():  # false for NaN
        raise InvalidAction(f"the actions must be bins from 0 to {BINS - 1}, not {bins}")
    return bins


def check_options(options: dict[str, Any] | None, *known: str) -> None:
    """Raises a `ValueError` if the options of a reset have other keys than those known."""
    if unknown := sorted(set(options or ()) - set(known)):
        allowed = f"only {', '.join(known)} is known" if known else "there are none"
        raise ValueError(f"unknown options of reset: {', '.join(unknown)}; {allowed}")


def checked_mask(options: dict[str, Any] | None, num_envs: int) -> NDArray[np.bool_]:
    """The simulations (B,) that a reset restarts: `reset_mask` of its options, otherwise all.

    Raises:
        ValueError: there are other options, or the mask is not B booleans with a True among them.
    """
    check_options(options, "reset_mask")
    if not options:
        return np.ones(num_envs, dtype=bool)
    mask = np.asarray(options["reset_mask"])
    if mask.dtype != np.bool_ or mask.shape != (num_envs,) or not mask.any():
        raise ValueError(f"reset_mask must be {num_envs} booleans, not all False; it is {mask}")
    return mask
