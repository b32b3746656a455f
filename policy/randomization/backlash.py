"""Backlash: after a reversal a joint does not move until the slack of its tendon is taken up."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from opendactyl.core.config_fields import ByName, for_names
from opendactyl.core.errors import InputError
from opendactyl.geometry.rotation import Array
from opendactyl.policy.randomization.config import RandomizationConfig, Ranges
from opendactyl.sim.hands.spec import HandSpec
from opendactyl.sim.timing import CONTROL_PERIOD

UNCALIBRATED = (7.4, 70.0)
"""Range of the rates of a hand whose backlash is not calibrated: about exp(2) to exp(4.25)."""
MIN_RATE = 2.0
"""Smallest calibrated rate, in 1/(s rad) (robogym)."""
CHUNK = 256
"""Targets that `along` treats at a time, so that its temporary arrays are small."""


def for_hand(
    config: RandomizationConfig, hand: HandSpec, links: Sequence[str] | None = None
) -> RandomizationConfig:
    """The ranges for a hand: backlash from a range of rates where the hand's is not calibrated.

    Args:
        config: the ranges.
        hand: the hand.
        links: names of its bodies with mass; None: those of `config` are not checked.

    Raises:
        InputError: the ranges are those of another hand, or name what it lacks.
    """
    _check_hand(config, hand, links)
    if not config.backlash_calibrated or hand.backlash_exponents is not None:
        return config
    return dataclasses.replace(config, backlash_calibrated=False, backlash=UNCALIBRATED)


def _check_hand(config: RandomizationConfig, hand: HandSpec, links: Sequence[str] | None) -> None:
    if config.hand not in ("", hand.name):
        raise InputError(
            f"the ranges of the randomization refer to the model of hand {config.hand!r}, not "
            f"{hand.name!r}; use --hand {config.hand}"
        )
    known = {"joint": hand.joints, "actuator": hand.actuators, "link": links}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        for name in value.values if isinstance(value, ByName) else ():
            names = known[kind := field.metadata["names"]]
            if names is not None and name not in names:
                raise InputError(
                    f"randomization {field.name}: hand {hand.name} has no {kind} {name!r}; it has "
                    f"{', '.join(names)}"
                )


def calibrated_rates(exponents: Array) -> Array:
    """Rates at which slack is taken up, per second and radian, of calibrated exponents."""
    return np.maximum(np.exp(exponents), MIN_RATE)


def sample_rates(
    rng: np.random.Generator, config: RandomizationConfig, hand: HandSpec, strength: float = 1.0
) -> Array:
    """Rates (2, A) downwards and upwards at which slack is taken up; 0 means no slack.

    A joint with the calibrated exponent c (`HandSpec.backlash_exponents`) takes up its slack at
    exp(c) per second and radian of command (robogym, `BacklashWrapper`). Rates of the range
    `backlash` are per second and half the actuator's range. The slack is proportional to
    `strength` and `backlash_scale`.
    """
    shape = (2, len(hand.actuators))
    exponents = hand.backlash_exponents
    if config.backlash_calibrated and exponents is not None:
        jitter = 1 + rng.normal(0, config.backlash_jitter, shape)
        rates = calibrated_rates(exponents * jitter)
    elif config.backlash == (0, 0):
        rates = np.zeros(shape)
    else:
        up = config.backlash if config.backlash_up == (0, 0) else config.backlash_up
        if up is config.backlash and not isinstance(up, ByName):
            low, high = np.log(up)
        else:
            both = [_spread(value, hand) for value in (config.backlash, up)]
            low, high = np.log(np.maximum(np.stack(both, axis=1), 1e-9))
        rates = np.exp(rng.uniform(low, high, shape))
        rates = np.where(rates < 1e-6, 0.0, rates)
    width = strength * config.backlash_scale
    return rates / width if width > 0 else np.zeros(shape)


def _spread(value: Ranges, hand: HandSpec) -> Array:
    """Low and high rates (2, A)."""
    ranges = np.asarray(for_names(value, hand.actuators), dtype=np.float64)
    return ranges if ranges.ndim == 2 else np.repeat(ranges[:, None], len(hand.actuators), axis=1)


class Backlash:
    """The slack of every tendon of B hands.

    D18 C.2's rule: the part of a command's increment that exceeds the slack takes effect
    (robogym).
    """

    def __init__(self, num_envs: int, unit: Array) -> None:
        """Starts with every tendon in the middle of its slack.

        Args:
            num_envs: number of simulations B.
            unit: distance (20,) between target and current angle, in radians, to which the rates
                refer.
        """
        self._unit = unit
        self.slack = np.zeros((num_envs, len(unit)))
        """Position within the slack (B, 20), from -1 to 1."""

    def begin(self, ids: NDArray[np.intp]) -> None:
        """Starts episodes in the middle of the slack."""
        self.slack[ids] = 0.0

    def __call__(
        self, targets: Array, actuated: Array, ids: NDArray[np.intp], rates: Array, *,
        arrived: NDArray[np.bool_] | bool = True,
        period: Array | float = CONTROL_PERIOD,
    ) -> Array:  # fmt: skip
        """Targets (K, 20) after the loss in the slack.

        Args:
            targets: in radians (K, 20).
            actuated: current angles (K, 20).
            ids: the simulations (K,).
            rates: of their episodes (K, 2, 20), from `sample_rates`.
            arrived: whose slack the targets act on (K, 20); that of the others does not change.
            period: time between targets, in seconds (or (K, 20)).
        """
        command = (targets - actuated) / self._unit
        slack, fraction = _take_up(command, rates, self.slack[ids], period)
        self.slack[ids] = np.where(arrived, slack, self.slack[ids])
        return actuated + fraction * (targets - actuated)


def along(targets: Array, actuated: Array, rates: Array, period: float) -> tuple[Array, Array]:
    """`Backlash` for a sequence of targets where the angles are known.

    Args:
        targets: in radians (M, P, A) or (M, 1, A).
        actuated: angles at which they arrive (M, P, A).
        rates: per second and radian (P, 2, A).
        period: time between targets, in seconds.

    Returns:
        The slack after each target and the targets after the loss in it, both (M, P, A).
    """
    slack, applied = np.zeros_like(actuated), np.zeros_like(actuated)
    now = np.zeros(actuated.shape[1:])
    for first in range(0, len(actuated), CHUNK):
        part = slice(first, first + CHUNK)
        command = targets[part] - actuated[part]
        increment = command * _directed(command, rates) * period
        before = np.zeros_like(increment)
        for number, moved in enumerate(increment):
            before[number] = now
            now = np.clip(now + moved, -1, 1)
        slack[part], fraction = _take_up(command, rates, before, period)
        applied[part] = actuated[part] + fraction * command
    return slack, applied


def _directed(command: Array, rates: Array) -> Array:
    return np.where(command < 0, rates[:, 0], rates[:, 1])


def _take_up(
    command: Array, rates: Array, slack: Array, period: Array | float
) -> tuple[Array, Array]:
    """The slack after commands (..., K, A), and the fraction of each that takes effect."""
    rate = _directed(command, rates)
    increment = command * rate * period
    left = np.abs(np.sign(command) - slack) / (np.abs(increment) + 1e-12)
    fraction = np.where(rate > 0, 1 - np.clip(left, 0, 1), 1.0)
    return np.clip(slack + increment, -1, 1), fraction
