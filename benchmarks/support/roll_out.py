"""Roll-outs of a policy in randomized physics, for the studies."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from opendactyl.core.errors import InputError
from opendactyl.policy.env.episode_types import Difficulty, EnvConfig
from opendactyl.policy.env.reward import DROPPED
from opendactyl.policy.interface.policy import Policy
from opendactyl.policy.interface.tasks import EVALUATION_SECONDS
from opendactyl.policy.randomization.config import load_randomization

SEED = 910_000
"""Seed of the episodes; no training uses it."""


@dataclass(frozen=True, kw_only=True)
class RollOutConfig:
    """Settings of a study that rolls a policy out."""

    policy: Path
    """A run of train-policy, a bundle, or the .safetensors file of an LSTM policy."""
    task: str = ""
    """spin, face-up or reorient; default: that of the policy's training."""
    layout: str = ""
    """The policy's observation, for a .safetensors file; default: that of its training."""
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
        from opendactyl.control.evaluation.policies import load_policy  # imports MuJoCo

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
