"""Curricula of goal angle and randomization, and the schedule of training stages."""

import math
from collections import deque
from collections.abc import Sequence
from typing import Any

from tensordict import TensorDict

from opendactyl.core.adr_bounds import AdrBounds
from opendactyl.policy.env.episode_types import Difficulty, Score
from opendactyl.policy.interface.tasks import ROTATE_FACE
from opendactyl.policy.randomization.adr import new_bounds
from opendactyl.policy.training.config import PolicyConfig

STAGES = ("teacher", "clone", "ppo")
START_ANGLE, STEP = 1.0, 1.01
"""Smallest value of the largest goal angle in radians, and the factor by which it changes."""
FIRST_ANGLES = {"reorient": START_ANGLE, ROTATE_FACE: math.radians(15)}
"""That value of the tasks whose angle adapts; a face turns by no more."""
GROW_RATE, SHRINK_RATE = 1.5, 0.75
"""The angle grows above, and shrinks below, this many goals per hundred actions."""
AVERAGED_BATCHES = 8
"""Batches over which the goal rate is averaged."""
START_STRENGTH, STRENGTH_STEP = 0.2, 0.02
"""First and smallest strength of the randomization, and the amount by which it changes."""
STRONGER, WEAKER = 12.0, 6.0
"""The strength grows above, and shrinks below, this many goals per failed episode."""
FAILURES = 32
"""Failed episodes, drops and time-outs, that make enough evidence to change the strength."""
LARGEST_STEPS = 4
"""Largest change of the strength, in steps, where the goals by far exceed what is needed."""


def goal_rate(batch: TensorDict) -> float:
    """Goals per hundred actions in a batch of sequences."""
    return float(batch["reached"].float().mean()) * 100


class Curriculum:
    """The largest angle to a new goal, and the strength or the bounds of the randomization."""

    def __init__(self, config: PolicyConfig) -> None:
        """Starts at the task's first angle; that of tasks without one is unlimited."""
        self._first = FIRST_ANGLES.get(config.task, math.pi)
        self.adapts = config.task in FIRST_ANGLES
        """Whether the angle follows the goal rate."""
        self._strengthens = config.strengthens
        self.difficulty = Difficulty(self._first, START_STRENGTH if self._strengthens else 1.0)
        self._rates: deque[float] = deque(maxlen=AVERAGED_BATCHES)
        self._goals = self._failures = 0
        self.bounds: AdrBounds | None = None
        """The bounds of automatic domain randomization, if the run has any."""
        if config.adr is not None:
            self.bounds = new_bounds(config.adr)
            self.difficulty = self.difficulty._replace(
                bounds=self.bounds.snapshot(), score_actions=config.adr.score_actions
            )

    def start_at(self, difficulty: Difficulty | None) -> None:
        """Continues from the state of another run; None changes nothing."""
        if difficulty is not None:
            angle = difficulty.max_angle if self.adapts else math.pi
            strength = max(difficulty.strength, START_STRENGTH) if self._strengthens else 1.0
            self.difficulty = self.difficulty._replace(max_angle=angle, strength=strength)

    def load_bounds(self, value: dict[str, Any]) -> None:
        """Continues from saved bounds of automatic domain randomization.

        Raises:
            InputError: they are of other parameters.
        """
        if self.bounds is not None:
            self.bounds.load(value)
            self.difficulty = self.difficulty._replace(bounds=self.bounds.snapshot())

    def restart(self) -> None:
        """Discards the evidence so far: another agent acts, or episodes were restarted."""
        self._rates.clear()
        self._goals = self._failures = 0

    def update(
        self, batch: TensorDict, scores: Sequence[Score] = (), *, may_shrink: bool = True
    ) -> None:
        """Changes angle by at most one step, and strength by a few, if the evidence calls for it.

        Args:
            batch: the latest batch.
            scores: of the episodes at bounds of automatic domain randomization.
            may_shrink: False while the acting agent imitates a teacher.
        """
        self.difficulty = self.difficulty._replace(
            max_angle=self._next_angle(batch, may_shrink),
            strength=self._next_strength(batch, may_shrink),
        )
        if self.bounds is not None:
            for (bound, version), goals in scores:
                self.bounds.record(bound, version, goals)
            self.difficulty = self.difficulty._replace(bounds=self.bounds.snapshot())

    def _next_angle(self, batch: TensorDict, may_shrink: bool) -> float:
        angle = self.difficulty.max_angle
        self._rates.append(goal_rate(batch))
        if not self.adapts or len(self._rates) < AVERAGED_BATCHES:
            return angle
        rate = sum(self._rates) / len(self._rates)
        if rate > GROW_RATE:
            return min(angle * STEP, math.pi)
        # Goals are slower under strong randomization, and those far away would be forgotten.
        may_shrink = may_shrink and not self._strengthens
        return max(angle / STEP, self._first) if rate < SHRINK_RATE and may_shrink else angle

    def _next_strength(self, batch: TensorDict, may_shrink: bool) -> float:
        strength = self.difficulty.strength
        if not self._strengthens:
            return strength
        hardest = batch["strength"] >= strength - STRENGTH_STEP - 1e-6
        self._goals += int((batch["reached"] & hardest).sum())
        self._failures += int((batch["failed"] & hardest).sum())
        enough = self._failures >= FAILURES or self._goals >= STRONGER * FAILURES
        if not enough:
            return strength
        ratio = self._goals / max(self._failures, 1)
        self._goals = self._failures = 0
        if ratio > STRONGER:
            steps = min(1 + math.log2(ratio / STRONGER), LARGEST_STEPS)
            return min(strength + steps * STRENGTH_STEP, 1.0)
        if ratio < WEAKER and may_shrink:
            return max(strength - STRENGTH_STEP, START_STRENGTH)
        return strength


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
