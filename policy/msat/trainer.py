"""The loop of a training run: DAgger on the pose, then on images, and updates in between."""

import dataclasses
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from opendactyl.core.csv_log import trim
from opendactyl.core.errors import InputError
from opendactyl.core.optional_files import exists
from opendactyl.models.policy.chunks import PHYSICS, ChunkPolicy
from opendactyl.policy.env.env import HandEnv
from opendactyl.policy.interface.observations import HandSize, field_sizes
from opendactyl.policy.interface.tasks import SELECTION_SEED_OFFSET
from opendactyl.policy.msat.collector import DaggerCollector, MakeObserver, PoseObserver
from opendactyl.policy.msat.config import MsatConfig
from opendactyl.policy.msat.driver import ChunkDriver, make_network
from opendactyl.policy.msat.learner import Learner
from opendactyl.policy.msat.replay import Replay
from opendactyl.policy.msat.run_state import RunState
from opendactyl.policy.msat.teacher import LAYOUT, Teacher
from opendactyl.policy.randomization.config import load_randomization
from opendactyl.policy.training.evaluation import FIRST_SECONDS, TIME_FRACTION, episode_goals
from opendactyl.policy.training.metrics_log import METRICS_FILE, MetricsLog
from opendactyl.policy.training.provenance import SeedRecord
from opendactyl.sim.hands.shipped import hand_spec
from opendactyl.sim.objects.shipped import object_spec

STAGES = ("pose", "tokens", "vision")
"""The driver observes the true pose; the estimator's tokens while the teacher acts; and alone."""
STAGE_ENDS = {"pose": 0.6, "tokens": 0.8, "vision": math.inf}
"""Fractions of the run at which the stages end, where images are rendered."""
RENDERED_ENVS = 8
CHECKPOINT_SECONDS = 60.0
COLUMNS = (
    "stage", "seconds", "actions", "actions_per_s", "steps", "goals", "dropped", "timed_out",
    "diverged", "loss", "physics_loss", "teacher_acts", "examined_goals",
)  # fmt: skip


class Trainer:
    """Collects experience and trains the driver."""

    def __init__(
        self, config: MsatConfig, teacher: Teacher, folder: Path, seeds: SeedRecord,
        make_observer: MakeObserver | None = None,
    ) -> None:  # fmt: skip
        """Builds the environment and the network.

        Args:
            config: the settings.
            teacher: the policy to imitate.
            folder: the run folder.
            seeds: the record of the run.
            make_observer: makes the estimator of an environment's images, for `--vision`.
        """
        torch.manual_seed(config.seed)
        self.config, self.teacher, self.folder = config, teacher, folder
        self._make_observer = make_observer
        ranges = load_randomization(config.randomization)
        self._env_config = dataclasses.replace(
            teacher.environment, layout=LAYOUT, randomization=ranges
        )
        if object_spec(self._env_config.object).attached:
            raise InputError(
                f"--driver msat does not observe hinges, and the object {self._env_config.object} "
                "has some; use --driver recurrent"
            )
        hand = hand_spec(self._env_config.hand)
        self._size = HandSize.of(hand)
        self.env = HandEnv(self._env_config, config.num_envs, seed=config.seed)
        self._observer: PoseObserver | None = None
        self.tokens = None if make_observer is None else make_observer.tokens
        network = make_network(config, hand, self.tokens)
        self.state = RunState(network, folder, config.learning_rate, seeds)
        self._learner = Learner(self.state, config)
        self._collector: DaggerCollector
        self._stage = ""
        self._next_evaluation = FIRST_SECONDS

    @property
    def progress(self) -> float:
        """Fraction of the run that is done."""
        of_time = self.state.seconds / (60.0 * self.config.max_minutes)
        return max(of_time, self.state.actions / (self.config.max_actions or math.inf))

    def run(self) -> None:
        """Trains until the time is up.

        Raises:
            EnvironmentFailure: the training diverged.
        """
        state, limit = self.state, 60.0 * self.config.max_minutes
        saved = state.seconds
        form = "{l_bar}{bar}| {n:.0f}/{total:.0f} s{postfix}"
        with (
            MetricsLog(self.folder, COLUMNS) as log,
            tqdm(total=limit, initial=min(saved, limit), bar_format=form, desc="pose") as bar,
        ):
            while self.progress < 1.0:
                began = time.monotonic()
                self._enter(self._due())
                bar.set_description(state.stage)
                row = self._advance(log, began)
                log.write(row)
                bar.update(min(max(state.seconds - bar.n, 0.0), max(limit - bar.n, 0.0)))
                bar.set_postfix_str(f"loss {row['loss']:.3f}, {row['goals']:.2f} goals")
                if state.seconds - saved > CHECKPOINT_SECONDS:
                    self.save("last")
                    saved = state.seconds
        if self._stage:
            self.save("last")
        evaluated = self.config.eval_episodes > 0 and state.stage == "pose"
        if not (evaluated and exists(state.path("best"))):
            state.save("best")

    def _due(self) -> str:
        """The stage that the run should be in; never an earlier one than before."""
        if self._make_observer is None:
            return "pose"
        due = next(stage for stage in STAGES if self.progress < STAGE_ENDS[stage])
        return max((due, self.state.stage or due), key=STAGES.index)

    def _enter(self, stage: str) -> None:
        """Sets up the collector of a stage, if it is not in place."""
        if stage == self._stage:
            return
        config, state = self.config, self.state
        first = state.next_episode
        if stage != "pose" and self._make_observer is not None and self._observer is None:
            count = min(RENDERED_ENVS, config.num_envs)
            self.env = HandEnv(self._env_config, count, seed=config.seed)
            self._observer = self._make_observer(self.env)
        self.env.first_episode = first
        rng = np.random.default_rng([config.seed, STAGES.index(stage), state.actions])
        driver = ChunkDriver(ChunkPolicy(state.network, config.execute))
        self._collector = DaggerCollector(
            self.env, self.teacher, driver, self._replay(), rng, self._observer
        )
        self._rng, self._stage, state.stage = rng, stage, stage

    def _replay(self) -> Replay:
        fields, config = field_sizes(self._size), self.config
        physics = sum(fields[name] for name in PHYSICS)
        sizes = (self.env.num_envs, self.env.observation_size, physics, self._size.actuators)
        return Replay(config.buffer, sizes, config.chunk, self.tokens if self._observer else None)

    @property
    def _teacher_acts(self) -> float:
        """Fraction of the simulations in which the teacher acts."""
        if self._stage != "pose":
            return float(self._stage == "tokens")
        whole = STAGE_ENDS["pose"] if self._make_observer else 1.0
        end = self.config.teacher_acts * whole
        return max(1.0 - self.progress / end, 0.0) if end else 0.0

    def _advance(self, log: MetricsLog, began: float) -> dict[str, Any]:
        """One round of actions and updates; returns the row to log."""
        state, config, replay = self.state, self.config, self._collector.replay
        teacher_acts = self._teacher_acts
        episodes = self._collector.collect(config.horizon, teacher_acts)
        count = config.horizon * self.env.num_envs
        if state.steps == 0 or self.progress < 0.1:
            state.network.update_normalizers(*replay.latest(config.horizon))
        action, physics = self._learner.update(replay, self._rng, self.progress)
        state.actions += count
        state.next_episode = int(self.env.episode.max()) + 1
        row = log.episode_metrics(episodes)
        finished = self.progress >= 1.0
        elapsed = time.monotonic() - began
        state.seconds += elapsed
        if self._evaluation_due(finished):
            row["examined_goals"] = self._evaluate()
            state.seconds += time.monotonic() - began - elapsed
        return row | {
            "stage": self._stage,
            "seconds": round(state.seconds, 1),
            "actions": state.actions,
            "actions_per_s": count / elapsed,
            "steps": state.steps,
            "loss": action,
            "physics_loss": physics,
            "teacher_acts": teacher_acts,
        }

    def _evaluation_due(self, finished: bool) -> bool:
        """Whether to evaluate now; from images it would take too long."""
        possible = self.config.eval_episodes > 0 and self._stage == "pose"
        return possible and (finished or self.state.seconds >= self._next_evaluation)

    def _evaluate(self) -> float:
        """Mean consecutive goals in whole episodes; saves the network if it is the best so far."""
        state, config = self.state, self.config
        began = time.monotonic()
        driver = ChunkDriver(ChunkPolicy(state.averaged, config.execute))
        seed = config.seed + SELECTION_SEED_OFFSET
        goals = episode_goals(driver, self._env_config, config.eval_episodes, seed).mean()
        self._next_evaluation = state.seconds + (time.monotonic() - began) / TIME_FRACTION
        if goals > state.best:
            state.best = float(goals)
            state.save("best")
        return float(goals)

    def save(self, name: str) -> None:
        """Writes a checkpoint, atomically."""
        self.state.save(name)

    def load(self) -> None:
        """Continues from the last checkpoint; simulations start new episodes."""
        self.state.load()
        trim(self.folder / METRICS_FILE, "actions", self.state.actions)

    def close(self) -> None:
        """Closes the renderer."""
        if self._observer is not None:
            self._observer.close()
