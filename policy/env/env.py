"""The batched environment: goals, rewards and termination of episodes.

One action is `SUBSTEPS` physics steps. The policy observes what a robot can measure, the critic the
full state (asymmetric actor-critic, D18 Table 2).
"""

from typing import Any

import numpy as np
from mujoco.batch import Batch
from numpy.typing import NDArray

from opendactyl.geometry.rotation import Array
from opendactyl.policy.env.batch_sim import BatchSim
from opendactyl.policy.env.critic_observation import critic_observation
from opendactyl.policy.env.episode_types import Difficulty, EnvConfig, Score, Step, known_scores
from opendactyl.policy.env.initial_states import InitialStates
from opendactyl.policy.env.reward import (
    DIVERGED,
    DROPPED,
    FINISHED,
    RUNNING,
    TIMED_OUT,
    reward,
    success_and_termination,
)
from opendactyl.policy.interface.actions import ActionDecoder
from opendactyl.policy.interface.face_goals import turns_face
from opendactyl.policy.interface.observations import Measurement, build_observation
from opendactyl.policy.interface.tasks import GoalContext, goal_errors, sample_goals
from opendactyl.policy.randomization.config import PRESETS
from opendactyl.policy.randomization.model_fields import sized_scene
from opendactyl.policy.randomization.randomizer import Randomizer
from opendactyl.sim.scene import Scene, load_scene
from opendactyl.sim.state import State
from opendactyl.sim.timing import CONTROL_PERIOD


class HandEnv:
    """Batched in-hand reorientation."""

    def __init__(
        self,
        config: EnvConfig,
        num_envs: int,
        *,
        seed: int = 0,
        threads: int = 0,
        first_episode: int = 0,
    ) -> None:
        """Loads the scene.

        Args:
            config: the settings.
            num_envs: number of simulations B.
            seed: seed of initial states, goals and randomization.
            threads: threads that step them; 0 means one per core.
            first_episode: number of the first simulation's first episode; the others count up.
        """
        self.first_episode = first_episode
        self.config = config
        self.num_envs = num_envs
        self._distributions = config.distributions()
        self._randomizes = self._distributions != PRESETS["none"]
        make_scene = sized_scene if self._randomizes else load_scene
        self.scene: Scene = make_scene(config.object, config.hand)
        self.hand_size = config.hand_size
        self.layout = tuple(config.observation_fields)
        self.observation_size = sum(config.observation_fields.values())
        self._simulations = BatchSim(self.scene, num_envs, threads)
        self.decoder = ActionDecoder(config.action_config(), *self.scene.actuator_range.T)
        self._limit = round(config.seconds_per_goal / CONTROL_PERIOD)
        self.difficulty = Difficulty()
        """Limits of new goals and new episodes, set by the curricula of a training run."""
        self.episode = first_episode + np.arange(num_envs)
        self.running = np.ones(num_envs, dtype=bool)
        self.restarts = not config.evaluation
        """Whether ended episodes restart within the step; otherwise `restart` starts the next."""
        self.goals = np.zeros(num_envs, dtype=np.int64)
        self.goal = np.tile(np.eye(4 + self.hand_size.hinges)[0], (num_envs, 1))
        """Goal orientations, and angles of the object's hinges (B, 4 + H)."""
        self._start = self.goal[:, :4].copy()
        self.rotations, self._turns = self.goals.copy(), np.zeros(num_envs, dtype=bool)
        self._distance = np.zeros(num_envs)
        self._since_goal, self._elapsed = np.zeros((2, num_envs), dtype=np.int64)
        self.measured = self._simulations.measure(np.arange(num_envs))
        """The current measurements of all hands, with randomization; updated in place."""
        self._set_seed(seed)

    def _set_seed(self, seed: int) -> None:
        """Derives initial states, goals and randomization from `seed`."""
        self.seed = seed
        self._starts = InitialStates(
            self.scene, seed, actions=self.config.start_actions, shared=not self.config.evaluation
        )
        weaker = 0.0 if self.config.evaluation else self.config.weaker_fraction
        self.randomizer = (
            Randomizer(self._distributions, self.batch, self.scene, seed, weaker)
            if self._randomizes
            else None
        )

    def reset(self, seed: int | None = None) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Restarts all episodes; returns the observations of policy (B, n) and critic (B, m).

        Args:
            seed: a new seed of initial states, goals and randomization; None keeps the old one.
        """
        if seed is not None:
            self._set_seed(seed)
        self.episode = self.first_episode + np.arange(self.num_envs)
        self.running = np.ones(self.num_envs, dtype=bool)
        return self._restart(np.arange(self.num_envs))

    def restart(self, ids: NDArray[np.intp]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Starts the next episodes in simulations `ids` (K,); returns their observations."""
        self.episode[ids] += self.num_envs
        self.running[ids] = True
        return self._restart(ids)

    def step(self, bins: NDArray[Any]) -> Step:
        """Takes one action of bins (B, 20), possibly fractional, in every simulation."""
        diverged = self._advance(np.flatnonzero(self.running), bins)
        true = self.true_measurement()
        quat = true.object_quaternion
        self.goal[:, :4] = self.scene.symmetry.equivalent(self.goal[:, :4], quat)
        angle, turn = goal_errors(self.config.task, self.goal, quat, true.hinges)
        self._since_goal += 1
        self._elapsed += 1
        reached, outcome = success_and_termination(
            angle,
            true.object_position[:, 2],
            self.goals,
            self._since_goal >= self._limit,
            diverged,
            drop_height=self.scene.hand.drop_height,
            max_goals=self.config.max_goals,
            hinge_error=turn,
        )
        distance = angle + turn
        rewards = reward(self._distance, distance, reached, outcome)
        self._distance = distance
        self.goals += reached
        self.rotations += reached & self._turns
        goals, rotations = self.goals.copy(), self.rotations.copy()
        scores = self._scores(outcome != RUNNING)
        ended = np.flatnonzero((outcome != RUNNING) & self.restarts)
        if not self.restarts:
            self.running &= outcome == RUNNING
        # Also after the last goal: its value is bootstrapped as after any other.
        self._new_goals(np.flatnonzero(reached), quat[reached], true.hinges[reached])
        policy, critic = final_policy, final_critic = self._observe(np.arange(self.num_envs), true)
        if len(ended):
            policy, critic = policy.copy(), critic.copy()
            policy[ended], critic[ended] = self.restart(ended)
        terminated = (outcome == DROPPED) | (outcome == DIVERGED)
        truncated = (outcome == TIMED_OUT) | (outcome == FINISHED)
        return Step(
            policy, critic, final_policy, final_critic, rewards, terminated, truncated, reached,
            goals, outcome, rotations if self.hand_size.hinges else None, scores,
        )  # fmt: skip

    @property
    def batch(self) -> Batch:
        """The MuJoCo batch."""
        return self._simulations.batch

    @property
    def strength(self) -> Array:
        """Strength of the randomization of the current episodes (B,); 1 without randomization."""
        return np.ones(self.num_envs) if self.randomizer is None else self.randomizer.strength

    def object_pose(self) -> tuple[Array, Array]:
        """The true poses of the objects in the hand frame: (B, 3) and (B, 4)."""
        return self._simulations.object_pose()

    def true_measurement(self) -> Measurement:
        """Measurements of all hands without noise."""
        return self._simulations.measure(np.arange(self.num_envs))

    def state(self, number: int) -> State:
        """The state of one simulation, for rendering."""
        return self._simulations.state(number)

    def _advance(self, ids: NDArray[np.intp], bins: NDArray[Any]) -> NDArray[np.bool_]:
        """Steps simulations `ids` by one action; returns which of all (B,) diverged."""
        actuated = self._simulations.actuated
        targets, delayed = self.decoder.decode(bins, actuated), None
        if self.randomizer is not None:
            targets, delayed = targets.copy(), self.randomizer.delayed_targets
            targets[ids] = self.randomizer.actuate(targets[ids], actuated[ids], ids)
        return self._simulations.advance(ids, targets, delayed)

    def _scores(self, ended: NDArray[np.bool_]) -> tuple[Score, ...]:
        """The scores of episodes at bounds that are now known; each is given once."""
        if self.randomizer is None or self.difficulty.bounds is None:
            return ()
        known = ended | (self._elapsed == self.difficulty.score_actions)
        return known_scores(self.randomizer.boundaries, self.goals, known)

    def _new_goals(self, ids: NDArray[np.intp], quat: Array, hinges: Array) -> None:
        """Samples goals of simulations `ids` (K,): orientations (K, 4), hinges (K, H)."""
        if not len(ids):
            return
        limits = self.difficulty.max_angle, self.scene.symmetry, self.scene.articulation
        context = GoalContext(self._start[ids], quat, *limits, hinges)
        self.goal[ids] = sample_goals(
            self.config.task, self.seed, self.episode[ids], self.goals[ids], context
        )
        self._since_goal[ids] = 0
        self._turns[ids] = turns_face(self.goal[ids], hinges)
        self._distance[ids] = sum(goal_errors(self.config.task, self.goal[ids], quat, hinges))

    def _restart(self, ids: NDArray[np.intp]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Starts the episodes `self.episode` in simulations `ids` (K,); returns observations."""
        starts = np.stack([self._starts.qpos(int(episode)) for episode in self.episode[ids]])
        where = np.zeros(self.num_envs, dtype=bool)
        where[ids] = True
        actuated = np.zeros((self.num_envs, self.hand_size.actuators))
        actuated[ids] = self.scene.actuated(starts)
        self.decoder.reset(actuated, where if len(self.decoder.targets) else None)
        targets = self.decoder.targets[ids]
        if self.randomizer is not None:
            limits = self.difficulty.strength, self.difficulty.bounds
            self.randomizer.begin(ids, self.episode[ids], targets, *limits)
        self._simulations.set_state(ids, starts, targets)
        true = self._simulations.measure(ids)
        self._start[ids] = true.object_quaternion
        self.goals[ids] = self._elapsed[ids] = self.rotations[ids] = 0
        self._new_goals(ids, true.object_quaternion, true.hinges)
        return self._observe(ids, true)

    def _observe(
        self, ids: NDArray[np.intp], true: Measurement
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Observations of policy (K, n) and critic (K, m); updates `measured`."""
        measured = true if self.randomizer is None else self.randomizer.sense(true, ids)
        for name, values in vars(measured).items():
            getattr(self.measured, name)[ids] = values
        goal, targets = self.goal[ids], self.decoder.scaled_targets[ids]
        policy = build_observation(self.layout, measured, goal, targets)
        late = self._since_goal[ids] / self._limit
        critic = critic_observation(
            self.layout, ids, true, goal, targets, late, self._simulations, self.randomizer
        )
        return policy, critic
