"""Sources of states: `settled` and `random` of a hand, `scene` of a scene."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from opendactyl.core.errors import InputError
from opendactyl.sim.hands.spec import DEFAULT_HAND
from opendactyl.sim.initial_states import random_state, settled_state
from opendactyl.sim.scene import load_scene
from opendactyl.sim.scene_states import SceneStates
from opendactyl.sim.scenery.spec import SCENE
from opendactyl.sim.state import State

STATE_STREAM, APPEARANCE_STREAM = 0, 1
"""Each sample has one generator per purpose, so that the number of samples that one purpose takes
does not affect another."""


def sample_rng(seed: int, index: int, stream: int) -> np.random.Generator:
    """The random generator for one purpose (stream) of one sample."""
    return np.random.default_rng(np.random.SeedSequence([seed, index, stream]))


class StateSource(Protocol):
    """Generates the states of a dataset, shard by shard."""

    name: str
    """Its name in the labels."""
    fingerprint: str
    """A checksum of the files that the source was loaded from, empty if there are none. A dataset
    is not continued with a source of another fingerprint."""

    def states(self, seed: int, start: int, stop: int) -> Iterator[State]:
        """The states of samples `start` to `stop`, which are the bounds of a shard."""
        ...


class SettledStates:
    """Simulated states: the object lies in the hand while the fingers move."""

    name = "settled"
    fingerprint = ""

    def __init__(self, object_name: str, hand: str) -> None:
        """Loads the scene."""
        self._scene = load_scene(object_name, hand)

    def states(self, seed: int, start: int, stop: int) -> Iterator[State]:
        """The states of samples `start` to `stop`."""
        for index in range(start, stop):
            yield settled_state(self._scene, sample_rng(seed, index, STATE_STREAM))


class RandomStates:
    """The object in a random pose over the palm, orientation uniform on SO(3)."""

    name = "random"
    fingerprint = ""

    def __init__(self, object_name: str, hand: str) -> None:
        """Loads the scene."""
        self._scene = load_scene(object_name, hand)

    def states(self, seed: int, start: int, stop: int) -> Iterator[State]:
        """The states of samples `start` to `stop`."""
        for index in range(start, stop):
            yield random_state(self._scene, sample_rng(seed, index, STATE_STREAM))


class MixedStates:
    """The mixture of a scene: the object lies, is lifted, or is anywhere in the volume."""

    name = "scene"
    fingerprint = ""

    def __init__(self, object_name: str, scene: str) -> None:
        """Loads the scene."""
        self._states = SceneStates(load_scene(object_name, scene))

    def states(self, seed: int, start: int, stop: int) -> Iterator[State]:
        """The states of samples `start` to `stop`."""
        for index in range(start, stop):
            yield self._states.sample(sample_rng(seed, index, STATE_STREAM))


_SOURCES = {source.name: source for source in (SettledStates, RandomStates)}


def state_source(name: str, object_name: str, hand: str = DEFAULT_HAND) -> StateSource:
    """The source `settled` or `random` of a hand, or `scene` of `scene:FILE`.

    Raises:
        InputError: another name.
    """
    if hand.startswith(SCENE):
        if name != MixedStates.name:
            raise InputError(
                f"the states {name!r} are of a hand, and --hand is none; leave out --states, or "
                f"use {MixedStates.name}"
            )
        return MixedStates(object_name, hand)
    if name == MixedStates.name:
        raise InputError(f"the states {name!r} need --hand none and --scene FILE")
    if name not in _SOURCES:
        raise InputError(
            f"no states {name!r}; use {', '.join(_SOURCES)}, policy:BUNDLE or mined:BUNDLE"
        )
    return _SOURCES[name](object_name, hand)
