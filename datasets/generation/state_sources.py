"""Where states come from."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from opendactyl.core.errors import InputError
from opendactyl.sim.initial_states import random_state, settled_state
from opendactyl.sim.scene import Scene, load_scene
from opendactyl.sim.state import State

STATE_STREAM, APPEARANCE_STREAM = 0, 1
"""Each sample has a generator per purpose, so that one's draws never shift another's."""


def sample_rng(seed: int, index: int, stream: int) -> np.random.Generator:
    """The generator of one purpose of one sample: it depends on nothing else."""
    return np.random.default_rng(np.random.SeedSequence([seed, index, stream]))


class StateSource(Protocol):
    """Makes the states of a dataset, a shard's worth at a time."""

    name: str
    """What the labels call it."""
    fingerprint: str
    """A checksum of what the source was loaded from, empty when it was from nothing: a dataset
    begun with one policy is not continued with another of the same name."""

    def states(self, seed: int, start: int, stop: int) -> Iterator[State]:
        """The states of samples `start` to `stop`, which are the bounds of a shard."""
        ...


class SettledStates:
    """The object lies in the hand under physics while the fingers move."""

    name = "settled"
    fingerprint = ""

    def __init__(self, object_name: str) -> None:
        """Loads the scene."""
        self._scene = load_scene(object_name)

    def states(self, seed: int, start: int, stop: int) -> Iterator[State]:
        """The states of samples `start` to `stop`."""
        for index in range(start, stop):
            yield settled_state(self._scene, sample_rng(seed, index, STATE_STREAM))


class RandomStates:
    """The object placed freely over the palm, orientation uniform on SO(3)."""

    name = "random"
    fingerprint = ""

    def __init__(self, object_name: str) -> None:
        """Loads the scene."""
        self._scene: Scene = load_scene(object_name)

    def states(self, seed: int, start: int, stop: int) -> Iterator[State]:
        """The states of samples `start` to `stop`."""
        for index in range(start, stop):
            yield random_state(self._scene, sample_rng(seed, index, STATE_STREAM))


_SOURCES = {source.name: source for source in (SettledStates, RandomStates)}


def state_source(name: str, object_name: str) -> StateSource:
    """The source `settled` or `random`.

    Raises:
        InputError: there is no such source.
    """
    if name not in _SOURCES:
        raise InputError(
            f"no states {name!r}; name one of {', '.join(_SOURCES)}, policy:BUNDLE, mined:BUNDLE"
        )
    return _SOURCES[name](object_name)
