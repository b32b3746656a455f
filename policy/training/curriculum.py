"""How a training gets harder: from near goals to far ones, and from one stage to the next."""

import math

from tensordict import TensorDict

from opendactyl.policy.training.config import PolicyConfig

STAGES = ("teacher", "clone", "ppo")
START, GROWTH = 1.0, 1.01
"""`reorient`: the first goals' largest angle in radians, and by how much it grows when goals come
faster than `RATE` per hundred actions."""
RATE = 1.5
GOAL_REWARD = 3.0
"""A reward above this was for a goal."""


class Curriculum:
    """How far away goals are."""

    def __init__(self, task: str) -> None:
        """Begins near with `reorient`, and with all there is with the other tasks."""
        self._grows = task == "reorient"
        self.max_angle = START if self._grows else math.pi
        """Largest angle to a new goal, in radians."""

    def follow(self, batch: TensorDict) -> None:
        """Moves goals away if enough were reached in a batch."""
        reached = float((batch["reward"] > GOAL_REWARD).float().mean()) * 100
        if self._grows and reached > RATE:
            self.max_angle = min(self.max_angle * GROWTH, math.pi)


def due_stage(config: PolicyConfig, progress: float, present: str) -> str:
    """What a run should be at; stages come one after the other, however short.

    Args:
        config: its settings, of which the stages' shares count.
        progress: how much of the run is done; 1 is all.
        present: the stage it is at, or was at when it was interrupted, or "".
    """
    teacher, clone = config.teacher_fraction, config.distillation_fraction
    ends = {"teacher": teacher, "clone": teacher + clone, "ppo": math.inf}
    stages = [s for s in STAGES if not (s == "teacher" and teacher == 0)]
    stages = [s for s in stages if not (s == "clone" and clone == 0)]
    due = next(i for i, s in enumerate(stages) if progress < ends[s])
    if present in stages:
        # One after the other, and never back: with more time, an old run's share is smaller.
        here = stages.index(present)
        due = min(max(due, here), here + 1)
    return stages[due]
