"""What an environment is set up with, and what one of its actions brings."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from opendactyl.core.errors import InputError
from opendactyl.policy.interface.actions import ActionConfig
from opendactyl.policy.interface.observations import LAYOUTS
from opendactyl.policy.interface.tasks import TRAINING_SECONDS, check_task
from opendactyl.policy.randomization.config import RandomizationConfig, load_randomization
from opendactyl.sim.objects.shipped import object_spec

FEWEST_START_ACTIONS = 8
"""`settled_state` takes at least this many."""
CRITIC_SIZE = 50 + 24 + 24 + 3 + 3


@dataclass(frozen=True, kw_only=True)
class EnvConfig:
    """Settings of the environment."""

    task: str = "spin"
    """spin, face-up or reorient."""
    object: str = "block"
    """The object in the hand."""
    layout: str = "default"
    """What the policy sees: a key of `interface.LAYOUTS`."""
    action: ActionConfig = ActionConfig()
    """How bins become targets."""
    randomization: str | RandomizationConfig = "none"
    """Physics and observation randomization: a preset, a TOML file, or the distributions."""
    start_actions: int = 16
    """An episode starts after at most this many random actions (D18 C.1: 100)."""
    seconds_per_goal: float = TRAINING_SECONDS
    """An episode ends when a goal is not reached for this long."""
    evaluation: bool = False
    """Number the episodes 0, 1, 2 …, start each in a state of its own, and never restart one."""

    def __post_init__(self) -> None:
        """Refuses unknown names."""
        check_task(self.task)
        object_spec(self.object)
        self.distributions()
        if self.layout not in LAYOUTS:
            raise InputError(f"no layout {self.layout!r}; choose from {', '.join(LAYOUTS)}")
        if not self.seconds_per_goal > 0:
            raise InputError(f"seconds per goal is {self.seconds_per_goal}; it must be positive")
        if self.start_actions < FEWEST_START_ACTIONS:
            raise InputError(
                f"start actions is {self.start_actions}; the least is {FEWEST_START_ACTIONS}"
            )

    def distributions(self) -> RandomizationConfig:
        """What episodes draw their physics from."""
        if isinstance(self.randomization, str):
            return load_randomization(self.randomization)
        return self.randomization


@dataclass(frozen=True, eq=False)
class Step:
    """What one action brought; B simulations. Ended episodes are already restarted."""

    policy: NDArray[np.float32]
    """What the policy sees next (B, n)."""
    critic: NDArray[np.float32]
    """What the critic sees next (B, CRITIC_SIZE)."""
    final_policy: NDArray[np.float32]
    """What the policy saw before any restart (B, n)."""
    final_critic: NDArray[np.float32]
    """What the critic saw before any restart (B, CRITIC_SIZE)."""
    reward: NDArray[np.float32]
    """(B,)."""
    terminated: NDArray[np.bool_]
    """Dropped or diverged (B,): nothing comes after."""
    truncated: NDArray[np.bool_]
    """Timed out or all goals reached (B,): the value goes on."""
    reached: NDArray[np.bool_]
    """A goal was reached (B,)."""
    goals: NDArray[np.int64]
    """Goals reached in the episode up to this action (B,), before any restart."""
    outcome: NDArray[np.int64]
    """How each episode stands after this action (B,), before any restart. In evaluation, of
    episodes that ended earlier it says nothing: ask `HandEnv.running` before the step."""
