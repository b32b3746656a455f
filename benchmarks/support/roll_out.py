"""Roll-outs of a policy in randomized physics, for the studies."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from opendactyl.control.bundle.load import MANIFEST_FILE, Bundle, load_bundle
from opendactyl.core.errors import InputError
from opendactyl.core.optional_files import exists
from opendactyl.geometry.rotation import Array
from opendactyl.models.policy.actor_critic import Actor
from opendactyl.policy.env.episode_types import Difficulty, EnvConfig
from opendactyl.policy.env.reward import DROPPED
from opendactyl.policy.interface.actions import decide
from opendactyl.policy.interface.observations import LAYOUTS
from opendactyl.policy.interface.tasks import EVALUATION_SECONDS
from opendactyl.policy.randomization.config import load_randomization

SEED = 910_000
"""Seed of the episodes; no training uses it."""


class Policy(Protocol):
    """A policy with a memory, acting in B simulations."""

    def begin(self, batch: int) -> None:
        """Starts with an empty memory in `batch` simulations."""
        ...

    def act(self, observation: NDArray[np.float32], start: NDArray[np.bool_]) -> Array:
        """Bins (B, 20) from observations (B, n); the memory is reset first where `start` (B,)."""
        ...


class ActorPolicy:
    """An actor of a run or a weights file."""

    def __init__(self, actor: Actor) -> None:
        """Wraps the actor."""
        self._actor = actor

    def begin(self, batch: int) -> None:
        """See `Policy`."""
        self._memory = self._actor.initial_state(batch)

    @torch.no_grad()
    def act(self, observation: NDArray[np.float32], start: NDArray[np.bool_]) -> Array:
        """See `Policy`."""
        begins = torch.from_numpy(start[:, None].astype(np.float32))
        logits, *memory = self._actor(torch.from_numpy(observation)[:, None], begins, *self._memory)
        self._memory = (memory[0], memory[1])
        return decide(logits[:, 0].numpy())


class BundlePolicy:
    """The exported policy of a bundle."""

    def __init__(self, bundle: Bundle) -> None:
        """Wraps the bundle."""
        self._session = bundle.policy

    def begin(self, batch: int) -> None:
        """See `Policy`."""
        self._memory = self._session.initial_memory(batch)

    def act(self, observation: NDArray[np.float32], start: NDArray[np.bool_]) -> Array:
        """See `Policy`."""
        self._memory.h[start] = 0.0
        self._memory.c[start] = 0.0
        bins, self._memory, _ = self._session.act(observation, self._memory)
        return bins


def load_policy(path: Path, task: str = "", layout: str = "default") -> tuple[Policy, EnvConfig]:
    """A policy, and its environment without randomization.

    Args:
        path: a bundle, a run of train-policy, or the .safetensors file of an LSTM policy.
        task: the task; empty for that of its training.
        layout: the policy's observation, for a .safetensors file.

    Raises:
        InputError: there is no policy, or it has another shape.
    """
    from opendactyl.policy.export import load_with_environment  # imports MuJoCo

    if not exists(path / MANIFEST_FILE):
        actor, environment = load_with_environment(path, task, layout)
        return ActorPolicy(actor), environment
    bundle = load_bundle(path)
    environment = EnvConfig(
        task=task or bundle.task,
        object=bundle.object,
        hand=bundle.hand_reference,
        layout=next(name for name, fields in LAYOUTS.items() if fields == bundle.layout),
        action=bundle.decoder().config,
    )
    return BundlePolicy(bundle), environment


@dataclass(frozen=True, kw_only=True)
class RollOutConfig:
    """Settings of a study that rolls a policy out."""

    policy: Path
    """A run of train-policy, a bundle, or the .safetensors file of an LSTM policy."""
    task: str = ""
    """spin, face-up or reorient; default: that of the policy's training."""
    layout: str = "default"
    """The policy's observation, for a .safetensors file."""
    randomization: str = "dactyl"
    """A preset, or a TOML file."""
    hands: int = 256
    """Simulations of each row."""
    actions: int = 500
    """Actions in each simulation."""

    def __post_init__(self) -> None:
        """Raises an `InputError` for values out of range."""
        if min(self.hands, self.actions) < 1:
            raise InputError("--hands and --actions must be at least 1")

    def load(self) -> tuple[Policy, EnvConfig]:
        """The policy, and its randomized environment with the time for a goal of evaluations.

        Raises:
            InputError: the policy or the ranges cannot be read.
        """
        policy, environment = load_policy(self.policy, self.task, self.layout)
        return policy, dataclasses.replace(
            environment,
            randomization=load_randomization(self.randomization),
            seconds_per_goal=EVALUATION_SECONDS,
        )


@dataclass(frozen=True)
class RollOut:
    """What B hands did."""

    goals: NDArray[np.int64]
    """Goals that each hand reached (B,)."""
    drops: NDArray[np.int64]
    """Objects that each hand dropped (B,)."""
    actions: int
    """Actions of each hand."""


def roll_out(
    policy: Policy,
    config: EnvConfig,
    hands: int,
    actions: int,
    *,
    strength: float = 1.0,
    wipe_every: int = 0,
) -> RollOut:
    """Goals and drops of a policy; a hand whose episode ends begins a new one.

    Args:
        policy: the policy.
        config: the environment.
        hands: number of simulations.
        actions: actions of each.
        strength: strength of the randomization.
        wipe_every: also reset the memory of all hands after this many actions; 0: never.
    """
    from opendactyl.policy.env.env import HandEnv  # imports MuJoCo

    env = HandEnv(config, hands, seed=SEED)
    env.difficulty = Difficulty(strength=strength)
    observation, _ = env.reset()
    policy.begin(hands)
    start = np.ones(hands, dtype=bool)
    goals, drops = np.zeros((2, hands), dtype=np.int64)
    for action in range(actions):
        if wipe_every and action % wipe_every == 0:
            start = np.ones(hands, dtype=bool)
        step = env.step(policy.act(observation, start))
        goals += step.reached
        drops += step.outcome == DROPPED
        start, observation = step.terminated | step.truncated, step.policy
    return RollOut(goals, drops, actions)
