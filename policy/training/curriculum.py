"""The goal-angle curriculum of `reorient`, and the schedule of training stages."""

import math
from collections import deque

from tensordict import TensorDict

from opendactyl.policy.training.config import PolicyConfig

STAGES = ("teacher", "clone", "ppo")
START_ANGLE, STEP = 1.0, 1.01
"""Smallest value of the largest goal angle in radians, and the factor by which it changes."""
GROW_RATE, SHRINK_RATE = 1.5, 0.75
"""The angle grows above, and shrinks below, this many goals per hundred actions."""
AVERAGED_BATCHES = 8
"""Batches over which the goal rate is averaged."""
GOAL_REWARD = 3.0
"""Rewards above this include a reached goal."""


def goal_rate(batch: TensorDict) -> float:
    """Goals per hundred actions in a batch of sequences."""
    return float((batch["reward"] > GOAL_REWARD).float().mean()) * 100


class Curriculum:
    """The largest angle between the object and a new goal."""

    def __init__(self, task: str) -> None:
        """Starts at `START_ANGLE` for `reorient`; the angle of other tasks is unlimited."""
        self.adapts = task == "reorient"
        """Whether the angle follows the goal rate."""
        self.max_angle = START_ANGLE if self.adapts else math.pi
        """In radians."""
        self._rates: deque[float] = deque(maxlen=AVERAGED_BATCHES)

    def restart(self) -> None:
        """Discards the running average: another agent acts, or episodes were restarted."""
        self._rates.clear()

    def update(self, batch: TensorDict, *, may_shrink: bool = True) -> None:
        """Changes the angle by one step if the mean goal rate calls for it.

        Args:
            batch: the latest batch.
            may_shrink: False while the acting agent imitates a teacher.
        """
        self._rates.append(goal_rate(batch))
        if not self.adapts or len(self._rates) < AVERAGED_BATCHES:
            return
        rate = sum(self._rates) / len(self._rates)
        if rate > GROW_RATE:
            self.max_angle = min(self.max_angle * STEP, math.pi)
        elif rate < SHRINK_RATE and may_shrink:
            self.max_angle = max(self.max_angle / STEP, START_ANGLE)


def due_stage(config: PolicyConfig, progress: float, current: str) -> str:
    """The stage that a run should be in; every stage runs for at least one iteration.

    Args:
        config: the settings, of which the stages' fractions count.
        progress: fraction of the run that is done.
        current: the stage it is in, or was in when it was interrupted, or "".
    """
    teacher, clone = config.teacher_fraction, config.distillation_fraction
    ends = {"teacher": teacher, "clone": teacher + clone, "ppo": math.inf}
    stages = [s for s in STAGES if not (s == "teacher" and teacher == 0)]
    stages = [s for s in stages if not (s == "clone" and clone == 0)]
    due = next(i for i, s in enumerate(stages) if progress < ends[s])
    if current in stages:
        # Never back: a run resumed with a larger budget has made relatively less progress.
        index = stages.index(current)
        due = min(max(due, index), index + 1)
    return stages[due]
