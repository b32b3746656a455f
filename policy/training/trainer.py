"""The loop of a training run over stages and iterations."""

import logging
import math
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from opendactyl.core.cpu import cores
from opendactyl.core.csv_log import trim
from opendactyl.core.errors import EnvironmentFailure
from opendactyl.core.optional_files import exists
from opendactyl.policy.collection.agent import Agent
from opendactyl.policy.collection.async_collector import AnyCollector, AsyncCollector
from opendactyl.policy.collection.collector import Collector, Episodes
from opendactyl.policy.env.env import HandEnv
from opendactyl.policy.training.config import PolicyConfig
from opendactyl.policy.training.curriculum import STAGES, due_stage
from opendactyl.policy.training.distillation import Distillation
from opendactyl.policy.training.evaluation import PeriodicEvaluation, reachable_angle
from opendactyl.policy.training.metrics_log import FILES, MetricsLog
from opendactyl.policy.training.ppo import PPO, Diverged
from opendactyl.policy.training.run_state import RunState

_log = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 60.0
MAX_DIVERGENCES, SMALLER_STEP = 3, 0.3
"""Divergences after which a run is given up, and the factor of the step size after each."""


class Trainer:
    """Collects experience and trains the agent of the stage that is due."""

    def __init__(self, config: PolicyConfig, folder: Path) -> None:
        """Builds the environment and the agents, with their initial weights."""
        self.config = config
        self.folder = folder
        torch.manual_seed(config.seed)
        # On a cluster the simulations are elsewhere; this one provides the observation size.
        self.env = HandEnv(
            config.environment(), 1 if config.ray else config.num_envs, seed=config.seed
        )
        self.state = RunState(config, folder, self.env.observation_size)
        self._evaluation = PeriodicEvaluation(config)
        self._stage = ""
        """The stage whose learner is set up."""
        self._collector: AsyncCollector | None = None
        self._learner: PPO | Distillation

    @property
    def progress(self) -> float:
        """Fraction of the run that is done."""
        of_time = self.state.seconds / (60.0 * self.config.max_minutes)
        return max(of_time, self.state.actions / (self.config.max_actions or math.inf))

    @property
    def finished(self) -> bool:
        """Whether the time or the actions are used up and every stage has run."""
        return self.progress >= 1.0 and self.state.stage in ("", STAGES[-1])

    @property
    def stage(self) -> str:
        """The stage that is due."""
        return due_stage(self.config, self.progress, self.state.stage)

    def run(self) -> None:
        """Trains until the time is up.

        Raises:
            EnvironmentFailure: the training diverged repeatedly, or the Ray cluster failed.
        """
        state, limit = self.state, 60.0 * self.config.max_minutes
        saved = state.seconds
        form = "{l_bar}{bar}| {n:.0f}/{total:.0f} s{postfix}"
        with (
            MetricsLog(self.folder) as log,
            tqdm(total=limit, initial=min(saved, limit), bar_format=form, desc=self.stage) as bar,
        ):
            while not self.finished:
                if self.stage != self._stage:
                    self._enter(self.stage)
                    log.restart_average()
                    self.save("last")
                try:
                    row = self._advance(log, bar)
                except Diverged as error:
                    self._go_back(error)
                    continue
                log.write(row)
                bar.update(min(max(state.seconds - bar.n, 0.0), max(limit - bar.n, 0.0)))
                speed, goals = row["actions_per_s"], row["goals"]
                bar.set_postfix_str(f"{speed:.0f} actions/s, {goals:.2f} goals")
                if state.seconds - saved > CHECKPOINT_SECONDS or self.finished:
                    self.save("last")
                    saved = state.seconds
        has_best = exists(state.path("best"))
        if self._stage and not (self.config.eval_episodes and has_best):
            self.save("best")
        elif exists(state.path("last")) and not has_best:  # The only evaluation was interrupted.
            state.save("best")

    def _advance(self, log: MetricsLog, bar: "tqdm[Any]") -> dict[str, Any]:
        """One iteration, and an evaluation if one is due; returns the row to log."""
        state = self.state
        began, before = time.monotonic(), state.actions
        bar.set_description(self._stage)
        losses, episodes = self._iterate()
        elapsed = time.monotonic() - began
        state.seconds += elapsed
        row = losses | log.episode_metrics(episodes)
        row |= log.moved_bounds(state.curriculum.bounds, state.actions)
        row |= {
            "stage": self._stage,
            "seconds": round(state.seconds, 1),
            "actions": state.actions,
            "actions_per_s": (state.actions - before) / elapsed,
            "max_angle": state.curriculum.difficulty.max_angle,
            "strength": state.curriculum.difficulty.strength,
        }
        if self._stage != "teacher" and self._evaluation.due(state.seconds, self.finished):
            bar.set_description("evaluating")
            row["examined_goals"] = self._evaluate()
            state.seconds += time.monotonic() - began - elapsed
        return row

    def _enter(self, stage: str) -> None:
        """Sets up the learner of a stage and starts new episodes.

        The previous stage stays in place until that is done, so that an interruption can save it.
        """
        state = self.state
        agent = state.teacher if stage == "teacher" else state.student
        if state.unknown_angle and stage != "teacher":
            self._measure_angle(state.teacher if stage == "clone" else state.student)
        # Not the seed alone: a resumed run must not repeat the samples of its first part.
        seed = self.config.seed + STAGES.index(stage) + len(STAGES) * state.actions
        collector = AsyncCollector(
            agent,
            partial(self._make_collector, seed=seed),
            None if self.config.ray else max(cores() // 2, 1),
        )
        learner: PPO | Distillation = (
            Distillation(state.student, state.teacher, self.config, state.teacher_values)
            if stage == "clone"
            else PPO(agent, self.config)
        )
        if stage in state.optimizers:
            learner.optimizer.load_state_dict(state.optimizers[stage])
        state.curriculum.restart()
        self._collector, self._learner = collector, learner
        self._stage = state.stage = stage

    def _measure_angle(self, pretrained: Agent) -> None:
        difficulty = self.state.curriculum.difficulty
        angle = reachable_angle(pretrained, self.config, difficulty)
        self.state.curriculum.start_at(difficulty._replace(max_angle=angle))
        self.state.unknown_angle = False

    def _make_collector(self, agent: Agent, seed: int) -> AnyCollector:
        before = self._collector.stop() if self._collector else None
        difficulty = self.state.curriculum.difficulty
        if not self.config.ray:
            if before:
                self.env.first_episode = int(self.env.episode.max()) + 1
            self.env.difficulty = difficulty
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
        state = self.state
        batch, episodes = self._collector.collect(self.config.horizon, state.curriculum.difficulty)
        if episodes.diverged:
            _log.warning("%d simulations diverged and were restarted", episodes.diverged)
        if isinstance(self._learner, PPO) and self._stage == "ppo":
            self._learner.trains_actor = state.critic_actions <= 0
            state.critic_actions = max(state.critic_actions - batch.numel(), 0)
        losses = self._learner.update(batch, state.generator, self.progress)
        state.average.update_parameters(state.student)
        state.actions += batch.numel()
        state.curriculum.update(batch, episodes.scores, may_shrink=self._stage != "clone")
        return losses, episodes

    def _go_back(self, error: Diverged) -> None:
        """Continues from the last checkpoint with a smaller step size.

        Raises:
            EnvironmentFailure: the run has diverged too often.
        """
        divergences = self.state.divergences + 1
        if divergences > MAX_DIVERGENCES:
            raise EnvironmentFailure(
                f"the training diverged {divergences} times ({error}); start a new run with a "
                "smaller --learning-rate"
            ) from error
        self.load()
        message = "the training diverged (%s); it continues from %d actions with a smaller step"
        _log.warning(message, error, self.state.actions)
        self._enter(self.state.stage)
        self._learner.schedule.shrink(SMALLER_STEP)
        self.state.divergences = divergences
        self.save("last")

    def _evaluate(self) -> float:
        """Mean consecutive goals in whole episodes; saves the student if it is the best so far."""
        state = self.state
        goals = self._evaluation.mean_goals(state.averaged_student, state.seconds)
        if goals > state.best:
            state.best = goals
            self.save("best")
        return goals

    def save(self, name: str) -> None:
        """Writes a checkpoint, atomically; does nothing before the first stage."""
        if not self._stage:
            return
        state = self.state
        state.optimizers[self._stage] = self._learner.optimizer.state_dict()
        state.next_episode = int(self.env.episode.max()) + 1
        state.save(name)

    def load(self) -> None:
        """Continues from the last checkpoint; simulations start new episodes."""
        self.state.load()
        self.env.first_episode = self.state.next_episode
        for name in FILES:
            trim(self.folder / name, "actions", self.state.actions)
