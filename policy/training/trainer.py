"""The state of a training run, and its loop over stages and iterations."""

import logging
import math
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from opendactyl.core.atomic_files import write_bytes
from opendactyl.core.cpu import cores
from opendactyl.core.csv_log import trim
from opendactyl.models.weights import save_checkpoint
from opendactyl.policy.collection.agent import Agent
from opendactyl.policy.collection.async_collector import AnyCollector, AsyncCollector
from opendactyl.policy.collection.collector import Collector, Episodes
from opendactyl.policy.env.env import HandEnv
from opendactyl.policy.training.checkpoints import load_checkpoint, start_from
from opendactyl.policy.training.config import PolicyConfig
from opendactyl.policy.training.curriculum import STAGES, Curriculum, due_stage
from opendactyl.policy.training.distillation import Distillation
from opendactyl.policy.training.evaluation import PeriodicEvaluation, reachable_angle
from opendactyl.policy.training.metrics_log import METRICS_FILE, MetricsLog
from opendactyl.policy.training.ppo import PPO
from opendactyl.policy.training.provenance import known_seeds, seeds_of_training

_log = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 60.0


class Trainer:
    """The state of a run, and the training loop."""

    def __init__(self, config: PolicyConfig, folder: Path) -> None:
        """Builds the environment and the agents, with their initial weights."""
        self.config = config
        self.folder = folder
        torch.manual_seed(config.seed)
        # On a cluster the simulations are elsewhere; this one provides the observation size.
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
        self._evaluation = PeriodicEvaluation(config)
        self.generator = torch.Generator().manual_seed(config.seed)
        self.curriculum = Curriculum(config.task)
        self._measure_angle = False
        if (folder / "checkpoints" / "last.ckpt").exists():
            self.seeds = known_seeds(folder)
        else:
            angle = start_from(config, self.student, self.teacher)
            self.seeds = seeds_of_training(config)
            self.curriculum.max_angle = angle or self.curriculum.max_angle
            pretrained = config.warm_start is not None or config.teacher is not None
            self._measure_angle = self.curriculum.adapts and angle is None and pretrained
        self._optimizers: dict[str, dict[str, Any]] = {}
        self._stage = self._reached = ""
        self._collector: AsyncCollector | None = None

    @property
    def progress(self) -> float:
        """Fraction of the run that is done."""
        of_time = self.seconds / (60.0 * self.config.max_minutes)
        return max(of_time, self.actions / (self.config.max_actions or math.inf))

    @property
    def finished(self) -> bool:
        """Whether the time or the actions are used up and every stage has run."""
        return self.progress >= 1.0 and (self._stage or self._reached) in ("", STAGES[-1])

    @property
    def stage(self) -> str:
        """The stage that is due."""
        return due_stage(self.config, self.progress, self._stage or self._reached)

    def run(self) -> None:
        """Trains until the time is up.

        Raises:
            EnvironmentFailure: the training diverged, or the Ray cluster failed.
        """
        limit = 60.0 * self.config.max_minutes
        saved = self.seconds
        shown = min(saved, limit)  # the last evaluation may end after the limit
        form = "{l_bar}{bar}| {n:.0f}/{total:.0f} s{postfix}"
        with (
            MetricsLog(self.folder) as log,
            tqdm(total=limit, initial=shown, bar_format=form, desc=self.stage) as bar,
        ):
            while not self.finished:
                if self.stage != self._stage:
                    self._enter(self.stage)
                    log.restart_average()
                began = self.seconds
                row = self._advance(log, bar)
                log.write(row)
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
        elif last.exists() and not best.exists():  # The only evaluation was interrupted.
            write_bytes(best, last.read_bytes())

    def _advance(self, log: MetricsLog, bar: "tqdm[Any]") -> dict[str, Any]:
        """One iteration, and an evaluation if one is due; returns the row to log."""
        began, before = time.monotonic(), self.actions
        bar.set_description(self._stage)
        losses, episodes = self._iterate()
        elapsed = time.monotonic() - began
        self.seconds += elapsed
        row = losses | log.episode_metrics(episodes)
        row |= {
            "stage": self._stage,
            "seconds": round(self.seconds, 1),
            "actions": self.actions,
            "actions_per_s": (self.actions - before) / elapsed,
            "max_angle": self.curriculum.max_angle,
        }
        if self._stage != "teacher" and self._evaluation.due(self.seconds, self.finished):
            bar.set_description("evaluating")
            row["examined_goals"] = self._evaluate()
            self.seconds += time.monotonic() - began - elapsed
        return row

    def _enter(self, stage: str) -> None:
        """Sets up the learner of a stage and starts new episodes.

        The previous stage stays in place until that is done, so that an interruption can save it.
        """
        agent = self.teacher if stage == "teacher" else self.student
        if self._measure_angle:
            self.curriculum.max_angle = reachable_angle(agent, self.config)
            self._measure_angle = False
        # Not the seed alone: a resumed run must not repeat the samples of its first part.
        seed = self.config.seed + STAGES.index(stage) + len(STAGES) * self.actions
        collector = AsyncCollector(
            agent,
            partial(self._make_collector, seed=seed),
            None if self.config.ray else max(cores() // 2, 1),
        )
        learner: PPO | Distillation = (
            Distillation(self.student, self.teacher, self.config)
            if stage == "clone"
            else PPO(agent, self.config)
        )
        if stage in self._optimizers:
            learner.optimizer.load_state_dict(self._optimizers[stage])
        self.curriculum.restart()
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
        """Frees the resources that a cluster holds for this run."""
        if self._collector is not None:
            self._collector.close()

    def _iterate(self) -> tuple[dict[str, float], Episodes]:
        assert self._collector is not None
        batch, episodes = self._collector.collect(self.config.horizon, self.curriculum.max_angle)
        if episodes.diverged:
            _log.warning("%d simulations diverged and were restarted", episodes.diverged)
        losses = self._learner.update(batch, self.generator)
        self.actions += batch.numel()
        self.curriculum.update(batch, may_shrink=self._stage != "clone")
        return losses, episodes

    def _evaluate(self) -> float:
        """Mean consecutive goals in whole episodes; saves the student if it is the best so far."""
        goals = self._evaluation.mean_goals(self.student, self.seconds)
        if goals > self.best:
            self.best = goals
            self.save("best")
        return goals

    def save(self, name: str) -> None:
        """Writes a checkpoint, atomically; does nothing before the first stage."""
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
        save_checkpoint(value | self.seeds, self.folder / "checkpoints" / f"{name}.ckpt")

    def load(self, path: Path) -> None:
        """Continues from a checkpoint; simulations start new episodes."""
        value = load_checkpoint(path)
        self.student.load_state_dict(value["student"])
        self.teacher.load_state_dict(value["teacher"])
        self._optimizers = value["optimizers"]
        self.generator.set_state(value["generator"])
        self.seconds, self.actions = value["seconds"], value["actions"]
        self.best, self.curriculum.max_angle = value["best"], value["max_angle"]
        self._reached = value.get("stage", "")
        self.env.first_episode = value.get("next_episode", 0)
        trim(self.folder / METRICS_FILE, "actions", self.actions)
        best = path.with_name("best.ckpt")
        if best.exists():  # It may be newer than the last checkpoint.
            self.best = max(self.best, load_checkpoint(best)["best"])
