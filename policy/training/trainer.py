"""What a policy's training holds, and the loop that moves it from stage to stage."""

import logging
import math
import time
from collections import deque
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from opendactyl.core.atomic_files import write_bytes
from opendactyl.core.cpu import cores
from opendactyl.core.csv_log import append_row, trim
from opendactyl.models.weights import save_checkpoint
from opendactyl.policy.collection.agent import Agent
from opendactyl.policy.collection.async_collector import AnyCollector, AsyncCollector
from opendactyl.policy.collection.collector import Collector, Episodes
from opendactyl.policy.env.env import HandEnv
from opendactyl.policy.training.checkpoints import load_checkpoint, start_from
from opendactyl.policy.training.config import PolicyConfig
from opendactyl.policy.training.curriculum import STAGES, Curriculum, due_stage
from opendactyl.policy.training.distillation import Cloning
from opendactyl.policy.training.evaluation import PeriodicEvaluation
from opendactyl.policy.training.ppo import PPO

_log = logging.getLogger(__name__)

COLUMNS = (
    "stage", "seconds", "actions", "actions_per_s", "goals", "dropped", "timed_out", "diverged",
    "max_angle", "objective", "critic", "entropy", "kl", "examined_goals",
)  # fmt: skip
"""The columns of a run's `metrics.csv`."""
CHECKPOINT_SECONDS = 60.0


class Trainer:
    """The state of a run, and the loop that moves it on."""

    def __init__(self, config: PolicyConfig, folder: Path) -> None:
        """Builds the environment and the agents."""
        self.config = config
        self.folder = folder
        torch.manual_seed(config.seed)
        # On a cluster the simulations are elsewhere; this one says what there is to see.
        self.env = HandEnv(
            config.environment(), 1 if config.ray else config.num_envs, seed=config.seed
        )
        size, hidden = self.env.observation_size, config.hidden
        make = partial(Agent, size, hidden=hidden, precision=config.precision)
        self.student = make(memory=config.memory, privileged=False)
        by_policy = config.taught_by_policy
        self.teacher = make(memory="lstm" if by_policy else "none", privileged=not by_policy)
        self.seconds = 0.0
        self.actions = 0
        self.best = -math.inf
        self._examination = PeriodicEvaluation(config)
        self.generator = torch.Generator().manual_seed(config.seed)
        self.curriculum = Curriculum(config.task)
        if not (folder / "checkpoints" / "last.ckpt").exists():
            angle = start_from(config, self.student, self.teacher)
            self.curriculum.max_angle = angle or self.curriculum.max_angle
        self._optimizers: dict[str, dict[str, Any]] = {}
        self._stage = self._reached = ""
        self._collector: AsyncCollector | None = None

    @property
    def progress(self) -> float:
        """How much of the run is done; 1 is all."""
        share = self.seconds / (60.0 * self.config.max_minutes)
        return max(share, self.actions / (self.config.max_actions or math.inf))

    @property
    def finished(self) -> bool:
        """Whether the time or the actions are used up and no stage was passed over."""
        return self.progress >= 1.0 and (self._stage or self._reached) in ("", STAGES[-1])

    @property
    def stage(self) -> str:
        """What is due at the run's present age."""
        return due_stage(self.config, self.progress, self._stage or self._reached)

    def run(self) -> None:
        """Trains until the time is up."""
        limit = 60.0 * self.config.max_minutes
        recent: deque[int] = deque(maxlen=400)
        saved = self.seconds
        form = "{l_bar}{bar}| {n:.0f}/{total:.0f} s{postfix}"
        with (
            SummaryWriter(self.folder) as board,
            tqdm(total=limit, initial=self.seconds, bar_format=form, desc=self.stage) as bar,
        ):
            while not self.finished:
                if self.stage != self._stage:
                    self._enter(self.stage)
                    recent.clear()
                began = self.seconds
                row = self._advance(recent, bar)
                self._log(row, board)
                bar.update(min(self.seconds - began, max(limit - bar.n, 0.0)))
                bar.set_postfix_str(
                    f"{row['actions_per_s']:.0f} actions/s, {row['goals']:.2f} goals"
                )
                if self.seconds - saved > CHECKPOINT_SECONDS or self.finished:
                    self.save("last")
                    saved = self.seconds
        last, best = (self.folder / "checkpoints" / f"{name}.ckpt" for name in ("last", "best"))
        if self._stage and not (self.config.eval_episodes and best.exists()):
            self.save("best")
        elif last.exists() and not best.exists():  # The only examination was interrupted.
            write_bytes(best, last.read_bytes())

    def _advance(self, recent: "deque[int]", bar: "tqdm[Any]") -> dict[str, Any]:
        """One iteration, an examination if one is due, and what there is to say about them."""
        began, before = time.monotonic(), self.actions
        bar.set_description(self._stage)
        row, episodes = self._iterate()
        recent.extend(episodes.goals)
        elapsed = time.monotonic() - began
        self.seconds += elapsed
        row |= self._row(recent, episodes, self.actions - before, elapsed)
        if self._stage != "teacher" and self._examination.due(self.seconds, self.finished):
            bar.set_description("examining")
            row["examined_goals"] = self._examine()
            self.seconds += time.monotonic() - began - elapsed
        return row

    def _enter(self, stage: str) -> None:
        """Sets up the learner of a stage; fresh episodes start.

        An interruption meanwhile finds the stage before as it was.
        """
        agent = self.teacher if stage == "teacher" else self.student
        # Not the seed alone: a resumed run must not draw again what it drew before.
        seed = self.config.seed + STAGES.index(stage) + len(STAGES) * self.actions
        collector = AsyncCollector(
            agent,
            partial(self._make_collector, seed=seed),
            None if self.config.ray else max(cores() // 2, 1),
        )
        learner: PPO | Cloning = (
            Cloning(self.student, self.teacher, self.config)
            if stage == "clone"
            else PPO(agent, self.config)
        )
        if stage in self._optimizers:
            learner.optimizer.load_state_dict(self._optimizers[stage])
        self._stage, self._collector, self._learner = stage, collector, learner

    def _make_collector(self, agent: Agent, seed: int) -> AnyCollector:
        before = self._collector.stop() if self._collector else None
        if not self.config.ray:
            self.env.max_angle = self.curriculum.max_angle
            return Collector(self.env, agent, seed)
        from opendactyl.policy.collection.ray_collector import RayCollector

        if isinstance(before, RayCollector):
            before.use(agent)
            return before
        config = self.config
        return RayCollector(
            config.ray,
            config.environment(),
            agent,
            num_envs=config.num_envs,
            workers=config.ray_workers,
            seed=seed,
        )

    def close(self) -> None:
        """Frees what a cluster holds for this run."""
        if self._collector is not None:
            self._collector.stop().close()

    def _iterate(self) -> tuple[dict[str, Any], Episodes]:
        assert self._collector is not None
        batch, episodes = self._collector.collect(self.config.horizon, self.curriculum.max_angle)
        if episodes.diverged:
            _log.warning("%d simulations diverged and began anew", episodes.diverged)
        losses = self._learner.update(batch, self.generator)
        self.actions += batch.numel()
        self.curriculum.follow(batch)
        return losses, episodes

    def _row(
        self, recent: "deque[int]", episodes: Episodes, steps: int, elapsed: float
    ) -> dict[str, Any]:
        ended = max(len(episodes.goals), 1)
        return {
            "stage": self._stage,
            "seconds": round(self.seconds, 1),
            "actions": self.actions,
            "actions_per_s": steps / elapsed,
            "goals": sum(recent) / max(len(recent), 1),
            "dropped": episodes.dropped / ended,
            "timed_out": episodes.timed_out / ended,
            "diverged": episodes.diverged,
            "max_angle": self.curriculum.max_angle,
        }

    def _log(self, row: dict[str, Any], board: SummaryWriter) -> None:
        for key, value in row.items():
            if key != "stage":
                board.add_scalar(f"{self._stage}/{key}", value, self.actions)
        append_row(self.folder / "metrics.csv", COLUMNS, row)

    def _examine(self) -> float:
        """Consecutive goals in whole episodes; the student that got most is kept as the best."""
        goals = self._examination.mean_goals(self.student, self.seconds)
        if goals > self.best:
            self.best = goals
            self.save("best")
        return goals

    def save(self, name: str) -> None:
        """Writes a checkpoint, atomically; before the first stage there is nothing to keep."""
        if not self._stage:
            return
        self._optimizers[self._stage] = self._learner.optimizer.state_dict()
        value = {
            "student": self.student.state_dict(),
            "teacher": self.teacher.state_dict(),
            "optimizers": self._optimizers,
            "generator": self.generator.get_state(),
            "seconds": self.seconds,
            "actions": self.actions,
            "best": self.best,
            "max_angle": self.curriculum.max_angle,
            "stage": self._stage,
            "next_episode": int(self.env.episode.max()) + 1,
        }
        save_checkpoint(value, self.folder / "checkpoints" / f"{name}.ckpt")

    def load(self, path: Path) -> None:
        """Continues from a checkpoint; simulations start fresh episodes."""
        value = load_checkpoint(path)
        self.student.load_state_dict(value["student"])
        self.teacher.load_state_dict(value["teacher"])
        self._optimizers = value["optimizers"]
        self.generator.set_state(value["generator"])
        self.seconds, self.actions = value["seconds"], value["actions"]
        self.best, self.curriculum.max_angle = value["best"], value["max_angle"]
        self._reached = value.get("stage", "")
        self.env.first_episode = value.get("next_episode", 0)
        trim(self.folder / "metrics.csv", "actions", self.actions)
        best = path.with_name("best.ckpt")
        if best.exists():  # It may be younger than the last checkpoint.
            self.best = max(self.best, load_checkpoint(best)["best"])
