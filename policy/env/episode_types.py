"""Settings of the environment, and the result of a step."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from opendactyl.core.adr_bounds import Snapshot
from opendactyl.core.errors import InputError
from opendactyl.policy.interface.actions import ActionConfig
from opendactyl.policy.interface.observations import (
    LAYOUTS,
    HandSize,
    field_sizes,
    layout_fields,
)
from opendactyl.policy.interface.tasks import (
    MAX_GOALS,
    TRAINING_SECONDS,
    check_seconds_per_goal,
    check_task_of,
)
from opendactyl.policy.randomization.adr import Boundary
from opendactyl.policy.randomization.config import RandomizationConfig, load_randomization
from opendactyl.sim.hands.shipped import hand_spec
from opendactyl.sim.hands.spec import DEFAULT_HAND
from opendactyl.sim.objects.shipped import object_spec
from opendactyl.sim.objects.spec import ObjectSpec

MIN_START_ACTIONS = 8
"""The minimum of `settled_state`."""
CUBE_TOLERANCE = 1e-6
"""Largest difference of a cube's half side lengths in metres."""


class Difficulty(NamedTuple):
    """What the curricula of a training run set."""

    max_angle: float = np.pi
    """Largest angle between the object and a new goal of `reorient`, in radians."""
    strength: float = 1.0
    """Largest strength of the randomization, see `randomization.physics.sample`."""
    bounds: Snapshot | None = None
    """Bounds of automatic domain randomization."""
    score_actions: int = 0
    """Actions whose goals are the score of an episode at a bound; 0: the whole episode."""


class Score(NamedTuple):
    """The goals of an episode that was pinned to a bound."""

    boundary: Boundary
    goals: int


def known_scores(
    boundaries: list[Boundary | None], goals: NDArray[np.int64], known: NDArray[np.bool_]
) -> tuple[Score, ...]:
    """The scores of episodes at bounds that are `known` (B,); each is taken once."""
    scores = []
    for i in np.flatnonzero(known):
        if (boundary := boundaries[i]) is not None:
            scores.append(Score(boundary, int(goals[i])))
            boundaries[i] = None
    return tuple(scores)


FULL_DIFFICULTY = Difficulty()


@dataclass(frozen=True, kw_only=True)
class EnvConfig:
    """Settings of the environment."""

    task: str = "spin"
    """spin, face-up or reorient; rotate-face of an object whose parts turn freely."""
    object: str = "block"
    """The object in the hand: a shipped one by name, or a TOML file."""
    hand: str = DEFAULT_HAND
    """The hand: a shipped one by name, or a TOML file."""
    layout: str = "default"
    """The policy's observation: a key of `interface.observations.LAYOUTS`."""
    action: str | ActionConfig = ActionConfig()
    """Conversion of bins to targets, or its mode alone: absolute or relative."""
    randomization: str | Path | RandomizationConfig = "none"
    """Physics and observation randomization: a preset, a TOML file, or a configuration."""
    start_actions: int = 16
    """An episode starts after at most this many random actions (D18 C.1: 100)."""
    seconds_per_goal: float = TRAINING_SECONDS
    """Time allowed for each goal; an episode ends when it is over."""
    max_goals: int = MAX_GOALS
    """Goals after which an episode ends."""
    weaker_fraction: float = 0.0
    """Fraction of the episodes with less than the full strength of the randomization: uniform from
    0 to `Difficulty.strength`."""
    evaluation: bool = False
    """Run episodes 0, 1, 2 … once each, every one from an initial state of its own."""

    def __post_init__(self) -> None:
        """Raises an `InputError` for invalid values."""
        obj = object_spec(self.object)
        check_task_of(self.task, obj.name, obj.articulation.hinges, obj.symmetry)
        hand_spec(self.hand)
        self.distributions()
        self.action_config()
        if self.layout not in LAYOUTS:
            raise InputError(f"no layout {self.layout!r}; choose from {', '.join(LAYOUTS)}")
        if self.layout == "cube" and not _is_cube(obj):
            raise InputError(
                f"layout cube needs an object that is a cube, and {obj.name} is none; choose "
                "layout default"
            )
        check_seconds_per_goal(self.seconds_per_goal)
        if self.max_goals < 1:
            raise InputError(f"max goals is {self.max_goals}; it must be at least 1")
        if not 0 <= self.weaker_fraction <= 1:
            raise InputError(f"weaker fraction is {self.weaker_fraction}; it must be in [0, 1]")
        if self.start_actions < MIN_START_ACTIONS:
            raise InputError(
                f"start actions is {self.start_actions}; the least is {MIN_START_ACTIONS}"
            )

    @property
    def hand_size(self) -> HandSize:
        """Numbers of what is observed of the hand and the object."""
        hinges = object_spec(self.object).articulation.hinges
        return HandSize.of(hand_spec(self.hand), len(hinges))

    @property
    def observation_fields(self) -> dict[str, int]:
        """Fields of the policy's observation in order, and their sizes."""
        sizes = field_sizes(self.hand_size)
        return {name: sizes[name] for name in layout_fields(self.layout, self.hand_size)}

    def distributions(self) -> RandomizationConfig:
        """The distributions of the physics parameters."""
        if isinstance(self.randomization, RandomizationConfig):
            return self.randomization
        return load_randomization(str(self.randomization))

    def action_config(self) -> ActionConfig:
        """The conversion of bins to targets."""
        return (
            self.action if isinstance(self.action, ActionConfig) else ActionConfig(mode=self.action)
        )


def _is_cube(obj: ObjectSpec) -> bool:
    """Whether an object is a rigid cube."""
    return obj.is_box and not obj.attached and bool(np.ptp(obj.half_extent) < CUBE_TOLERANCE)


@dataclass(frozen=True, eq=False)
class Step:
    """The result of one action in B simulations; ended episodes are already restarted."""

    policy: NDArray[np.float32]
    """The policy's next observation (B, n)."""
    critic: NDArray[np.float32]
    """The critic's next observation (B, m)."""
    final_policy: NDArray[np.float32]
    """The policy's observation before any restart (B, n)."""
    final_critic: NDArray[np.float32]
    """The critic's observation before any restart (B, m)."""
    reward: NDArray[np.float32]
    """(B,)."""
    terminated: NDArray[np.bool_]
    """Dropped or diverged (B,): the value of the next state is zero."""
    truncated: NDArray[np.bool_]
    """Timed out or all goals reached (B,): the value of the next state is bootstrapped."""
    reached: NDArray[np.bool_]
    """Whether a goal was reached (B,)."""
    goals: NDArray[np.int64]
    """Goals reached in the episode up to this action (B,), before any restart."""
    outcome: NDArray[np.int64]
    """Status of each episode after this action (B,), before any restart. In evaluation it is
    meaningless for episodes that ended earlier; check `HandEnv.running` before the step."""
    rotations: NDArray[np.int64] | None = None
    """Faces turned in the episode up to this action (B,), likewise; None of a rigid object."""
    scores: tuple[Score, ...] = ()
    """Scores of episodes at bounds of automatic domain randomization that are now known."""
