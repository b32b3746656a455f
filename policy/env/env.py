"""The batched environment: goals, rewards and termination of episodes.

One action is `SUBSTEPS` physics steps. The policy observes what a robot can measure, the critic the
full state (asymmetric actor-critic, D18 Table 2).
"""

from typing import Any

import numpy as np
from mujoco.batch import Batch
from numpy.typing import NDArray

from opendactyl.geometry.rotation import Array, geodesic_angle
from opendactyl.policy.env.batch_sim import BatchSim
from opendactyl.policy.env.critic_observation import critic_observation
from opendactyl.policy.env.episode_types import Difficulty, EnvConfig, Score, Step
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
from opendactyl.policy.interface.observations import (
    LAYOUTS,
    HandSize,
    Measurement,
    build_observation,
    layout_size,
)
from opendactyl.policy.interface.tasks import GoalContext, sample_goals
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
        self.layout = LAYOUTS[config.layout]
        self._distributions = config.distributions()
        self._randomizes = self._distributions != PRESETS["none"]
        make_scene = sized_scene if self._randomizes else load_scene
        self.scene: Scene = make_scene(config.object, config.hand)
        self.hand_size = HandSize.of(self.scene.hand)
        self.observation_size = layout_size(self.layout, self.hand_size)
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
        self.goal = np.tile([1.0, 0, 0, 0], (num_envs, 1))
        self._start = self.goal.copy()
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
        self.goal = self.scene.symmetry.equivalent(self.goal, true.object_quaternion)
        distance = geodesic_angle(true.object_quaternion, self.goal)
        self._since_goal += 1
        self._elapsed += 1
        reached, outcome = success_and_termination(
            distance,
            true.object_position[:, 2],
            self.goals,
            self._since_goal >= self._limit,
            diverged,
            drop_height=self.scene.hand.drop_height,
            max_goals=self.config.max_goals,
        )
        rewards = reward(self._distance, distance, reached, outcome)
        self._distance = distance
        self.goals += reached
        goals = self.goals.copy()
        scores = self._scores(outcome != RUNNING)
        ended = np.flatnonzero((outcome != RUNNING) & self.restarts)
        if not self.restarts:
            self.running &= outcome == RUNNING
        # Also after the last goal: its value is bootstrapped as after any other.
        self._new_goals(np.flatnonzero(reached), true.object_quaternion[reached])
        policy, critic = final_policy, final_critic = self._observe(np.arange(self.num_envs), true)
        if len(ended):
            policy, critic = policy.copy(), critic.copy()
            policy[ended], critic[ended] = self.restart(ended)
        terminated = (outcome == DROPPED) | (outcome == DIVERGED)
        truncated = (outcome == TIMED_OUT) | (outcome == FINISHED)
        return Step(
            policy, critic, final_policy, final_critic, rewards, terminated, truncated, reached,
            goals, outcome, scores,
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
        boundaries, scores = self.randomizer.boundaries, []
        for i in np.flatnonzero(known):
            if (boundary := boundaries[i]) is not None:
                scores.append(Score(boundary, int(self.goals[i])))
                boundaries[i] = None
        return tuple(scores)

    def _new_goals(self, ids: NDArray[np.intp], quat: Array) -> None:
        """Samples the next goals of simulations `ids` (K,) with object orientations (K, 4)."""
        if not len(ids):
            return
        angle, symmetry = self.difficulty.max_angle, self.scene.symmetry
        context = GoalContext(self._start[ids], quat, angle, symmetry)
        self.goal[ids] = sample_goals(
            self.config.task, self.seed, self.episode[ids], self.goals[ids], context
        )
        self._since_goal[ids] = 0
        self._distance[ids] = geodesic_angle(quat, self.goal[ids])

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
        self.goals[ids] = self._elapsed[ids] = 0
        self._new_goals(ids, true.object_quaternion)
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
            ids, true, goal, targets, late, self._simulations, self.randomizer
        )
        return policy, critic
