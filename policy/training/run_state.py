"""The state of a run that its checkpoints hold: agents, optimisers, counters, curricula."""

import copy
import math
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import torch

from opendactyl.core.atomic_files import write_text
from opendactyl.core.config_fields import to_toml
from opendactyl.core.errors import InputError
from opendactyl.core.optional_files import exists
from opendactyl.models.accelerator import training_device
from opendactyl.models.weights import save_checkpoint
from opendactyl.policy.collection.agent import Agent
from opendactyl.policy.env.episode_types import Difficulty
from opendactyl.policy.randomization.adr import full_ranges
from opendactyl.policy.training.checkpoints import load_checkpoint, start_from
from opendactyl.policy.training.config import ADR_BASE, PolicyConfig
from opendactyl.policy.training.curriculum import Curriculum
from opendactyl.policy.training.provenance import SeedRecord, known_seeds, seeds_of_training
from opendactyl.policy.training.schedule import averaged

RANGES_FILE = "ranges.toml"
"""The ranges that automatic domain randomization has reached, for `--randomization`."""
CRITIC_ACTIONS = 250_000
"""Actions for which a new critic beside a trained actor is trained alone."""


@dataclass
class Counters:
    """The plain values of a run's state, which its checkpoints hold under the same names."""

    seconds: float = 0.0
    actions: int = 0
    best: float = -math.inf
    """Most goals in an evaluation."""
    stage: str = ""
    """The stage that the run is in, or was in when it was interrupted; "" before the first."""
    next_episode: int = 0
    """Number of the first episode that was not begun."""
    divergences: int = 0
    critic_actions: int = 0
    """Actions of PPO for which a new critic beside a trained actor is still trained alone."""
    teacher_values: bool = True
    """Whether the critic imitates the teacher's, too."""
    unknown_angle: bool = False
    """Whether the angle that the agent can handle has to be measured first."""


class RunState(Counters):
    """Agents, optimisers, counters and curricula of a run."""

    def __init__(self, config: PolicyConfig, folder: Path, observation_size: int) -> None:
        """The state of a new run: initial weights, or those of its ancestors.

        Args:
            config: the settings.
            folder: the run folder; if it holds a checkpoint, `load` follows.
            observation_size: length of the policy's observation.

        Raises:
            InputError: the weights of `--warm-start` or `--teacher` are missing or do not fit.
        """
        super().__init__()
        self._folder, self._base_ranges = folder, config.ranges
        make = partial(
            Agent,
            observation_size,
            hand=config.hand,
            hidden=config.hidden,
            critic_memory=config.critic_memory,
            precision=config.precision,
            hinges=config.environment().hand_size.hinges,
        )
        by_policy, device = config.taught_by_policy, training_device(config.accelerator)
        self.student = make(memory=config.memory, privileged=config.privileged).to(device)
        memory = "lstm" if by_policy else "none"
        self.teacher = make(memory=memory, privileged=not by_policy).to(device)
        self.curriculum = Curriculum(config)
        self.generator = torch.Generator().manual_seed(config.seed)
        self.optimizers: dict[str, dict[str, Any]] = {}
        """The states of the stages' optimisers."""
        self.seeds: SeedRecord
        if exists(self.path("last")):
            self.seeds = known_seeds(folder)
        else:
            self._begin(config)
        self.average = averaged(self.student, config.averaging)
        """The moving average of the student."""

    def _begin(self, config: PolicyConfig) -> None:
        """Loads the weights of the ancestors and continues their curricula."""
        start = start_from(config, self.student, self.teacher)
        self.seeds = seeds_of_training(config)
        self.critic_actions = CRITIC_ACTIONS if start.fresh_critic else 0
        self.teacher_values = start.teacher_values
        self.curriculum.start_at(start.difficulty)
        pretrained = config.warm_start is not None or config.teacher is not None
        self.unknown_angle = self.curriculum.adapts and pretrained and start.difficulty is None

    def path(self, name: str) -> Path:
        """The file of a checkpoint: `last` or `best`."""
        return self._folder / "checkpoints" / f"{name}.ckpt"

    @property
    def averaged_student(self) -> Agent:
        """A copy of the student with averaged weights, on the CPU."""
        agent = copy.deepcopy(self.average.module).cpu()
        assert isinstance(agent, Agent)
        return agent

    def save(self, name: str) -> None:
        """Writes a checkpoint atomically; the student of `best` has averaged weights."""
        difficulty = self.curriculum.difficulty
        student = self.averaged_student if name == "best" else self.student
        value = {
            "student": student.state_dict(),
            "average": self.average.state_dict(),
            "teacher": self.teacher.state_dict(),
            "optimizers": self.optimizers,
            "generator": self.generator.get_state(),
            "max_angle": difficulty.max_angle,
            "strength": difficulty.strength,
            "bounds": self.curriculum.bounds and self.curriculum.bounds.to_dict(),
        }
        counters = {f.name: getattr(self, f.name) for f in fields(Counters)}
        save_checkpoint(value | counters | self.seeds, self.path(name))
        if difficulty.bounds is not None:
            reached = full_ranges(self._base_ranges, difficulty.bounds)
            write_text(self._folder / RANGES_FILE, to_toml(reached, ADR_BASE))

    def load(self) -> None:
        """Continues from the last checkpoint.

        Raises:
            InputError: the file is damaged, or its networks have other shapes.
        """
        value = load_checkpoint(self.path("last"))
        try:
            self.student.load_state_dict(value["student"])
            self.teacher.load_state_dict(value["teacher"])
            self.average.load_state_dict(value["average"])
        except (KeyError, RuntimeError) as error:
            raise InputError(
                f"{self.path('last')} is of a version whose critic observes other values; start a "
                "new run with --teacher-fraction 0 --distillation-fraction 0 --warm-start "
                f"{self._folder}"
            ) from error
        self.optimizers = value["optimizers"]
        self.generator.set_state(value["generator"])
        for counter in fields(Counters):
            setattr(self, counter.name, value[counter.name])
        self.curriculum.start_at(Difficulty(value["max_angle"], value["strength"]))
        self.curriculum.load_bounds(value.get("bounds") or {})
        if exists(self.path("best")):  # It may be newer than the last checkpoint.
            self.best = max(self.best, load_checkpoint(self.path("best"))["best"])
