"""The environment: many hands at once on `mujoco.batch.Batch`.

One action is `SUBSTEPS` physics steps. A policy sees what a robot could measure, a critic sees
everything (asymmetric actor-critic, D18 Table 2).
"""

from typing import Any

import mujoco
import numpy as np
from mujoco.batch import Batch, SimulationError
from numpy.typing import NDArray

from opendactyl.geometry.rotation import Array, geodesic_angle
from opendactyl.policy.episode import (
    DIVERGED,
    DIVERGENCE_WARNINGS,
    DROP_REWARD,
    DROPPED,
    FINISHED,
    RUNNING,
    SUCCESS_REWARD,
    TIMED_OUT,
    EnvConfig,
    Step,
)
from opendactyl.policy.interface import (
    LAYOUTS,
    ActionDecoder,
    Measurement,
    build_observation,
    layout_size,
)
from opendactyl.policy.model_fields import sized_scene
from opendactyl.policy.randomization import PRESETS
from opendactyl.policy.randomizer import Randomizer
from opendactyl.policy.starts import Starts
from opendactyl.policy.tasks import MAX_GOALS, SUCCESS_ANGLE, GoalContext, goals
from opendactyl.sim import names
from opendactyl.sim.hand_frame import to_hand, vectors_to_hand
from opendactyl.sim.scene import Scene, load_scene
from opendactyl.sim.state import State


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
            seed: seed of starting states, goals and randomization.
            threads: threads that step them; 0 is one per core.
            first_episode: number of the first simulation's first episode; the others follow.
        """
        self.first_episode = first_episode
        self.config = config
        self.num_envs = num_envs
        self.layout = LAYOUTS[config.layout]
        self.observation_size = layout_size(self.layout)
        self._distributions = config.distributions()
        self._randomizes = self._distributions != PRESETS["none"]
        self.scene: Scene = (
            sized_scene(config.object) if self._randomizes else load_scene(config.object)
        )
        self._batch = Batch(self.scene.model, num_envs, threads, persistent=True)
        self._qpos, self._qvel = self._batch.bind("qpos"), self._batch.bind("qvel")
        self._ctrl, self._sites = self._batch.bind("ctrl"), self._batch.bind("site_xpos")
        low, high = self.scene.actuator_range.T
        self.decoder = ActionDecoder(config.action, low, high)
        self._actuated = self.scene.model.jnt_qposadr[self.scene.model.actuator_trnid[:, 0]]
        self._limit = round(config.seconds_per_goal / names.CONTROL_PERIOD)
        self.max_angle = np.pi
        self.episode = first_episode + np.arange(num_envs)
        self.running = np.ones(num_envs, dtype=bool)
        self.goals = np.zeros(num_envs, dtype=np.int64)
        self.goal = np.tile([1.0, 0, 0, 0], (num_envs, 1))
        self._start = self.goal.copy()
        self._distance = np.zeros(num_envs)
        self._since_goal = np.zeros(num_envs, dtype=np.int64)
        self.seen = Measurement(
            np.zeros((num_envs, len(names.FINGERTIPS), 3)),
            np.zeros((num_envs, 3)),
            self.goal.copy(),
            np.zeros((num_envs, len(names.JOINTS))),
        )
        """What is measured of every hand at the moment, randomization included; live."""
        self._sow(seed)

    def _sow(self, seed: int) -> None:
        """Takes everything random from `seed`."""
        self.seed = seed
        self._starts = Starts(
            self.scene, seed, actions=self.config.start_actions, shared=not self.config.evaluation
        )
        self.randomizer = (
            Randomizer(self._distributions, self._batch, self.scene, seed)
            if self._randomizes
            else None
        )

    def reset(self, seed: int | None = None) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Starts every episode anew; returns what policy (B, n) and critic (B, m) see.

        Args:
            seed: what starts, goals and randomization depend on from now on; None keeps the seed.
        """
        if seed is not None:
            self._sow(seed)
        self.episode = self.first_episode + np.arange(self.num_envs)
        self.running = np.ones(self.num_envs, dtype=bool)
        everyone = np.arange(self.num_envs)
        return self._restart(everyone)

    def step(self, bins: NDArray[Any]) -> Step:
        """Takes one action of bins (B, 20), fractions among them, in every simulation."""
        diverged = self._advance(np.flatnonzero(self.running), bins)
        true = self.measurement()
        outcome, reached, reward = self._judge(true, diverged)
        goals = self.goals.copy()
        ended = np.flatnonzero((outcome != RUNNING) & (not self.config.evaluation))
        if self.config.evaluation:
            self.running &= outcome == RUNNING
        # After the last goal too: what comes next is worth as much as after any other.
        self._new_goals(np.flatnonzero(reached), true.object_quaternion[reached])
        final_policy, final_critic = self._observe(np.arange(self.num_envs), true)
        policy, critic = final_policy, final_critic
        if len(ended):
            self.episode[ended] += self.num_envs
            policy, critic = policy.copy(), critic.copy()
            policy[ended], critic[ended] = self._restart(ended)
        terminated = (outcome == DROPPED) | (outcome == DIVERGED)
        truncated = (outcome == TIMED_OUT) | (outcome == FINISHED)
        return Step(
            policy, critic, final_policy, final_critic, reward, terminated, truncated, reached,
            goals, outcome,
        )  # fmt: skip

    @property
    def batch(self) -> Batch:
        """The simulations."""
        return self._batch

    def object_pose(self) -> tuple[Array, Array]:
        """The true poses of the objects in the hand frame: (B, 3) and (B, 4)."""
        pose = self._qpos[:, self.scene.object_qpos]
        return to_hand(pose[:, :3], pose[:, 3:])

    def measurement(self) -> Measurement:
        """The true measurements of every hand."""
        return self._measure(np.arange(self.num_envs))

    def state(self, number: int) -> State:
        """The state of one simulation, for pictures."""
        return self.scene.state(self._qpos[number])

    def _measure(self, ids: NDArray[np.intp]) -> Measurement:
        qpos = self._qpos[ids]
        pose = qpos[:, self.scene.object_qpos]
        return Measurement(
            self.scene.fingertips(self._sites[ids]),
            *to_hand(pose[:, :3], pose[:, 3:]),
            qpos[:, self.scene.joint_qpos],
        )

    def _advance(self, ids: NDArray[np.intp], bins: NDArray[Any]) -> NDArray[np.bool_]:
        """Moves simulations `ids` by one action; which of all (B,) diverged.

        A diverged simulation is put back to the model's rest state, where all is finite.
        """
        actuated = self._qpos[:, self._actuated]
        targets = self.decoder.decode(bins, actuated)
        self._ctrl[:] = targets
        if self.randomizer is not None:
            self._ctrl[ids] = self.randomizer.actuate(targets[ids], actuated[ids], ids)
        before, failed = self._warnings(), np.zeros(0, dtype=np.intp)
        try:
            self._batch.step(ids, nstep=names.SUBSTEPS, stage=mujoco.mjtStage.mjSTAGE_VEL)
        except SimulationError as error:
            failed = np.asarray(error.ids, dtype=np.intp)
        # The engine resets a diverged simulation by itself; then only its counter tells.
        diverged = self._warnings() > before
        diverged |= ~np.isfinite(self._qpos).all(axis=1) | ~np.isfinite(self._qvel).all(axis=1)
        diverged[failed] = True
        if diverged.any():
            self._batch.reset(np.flatnonzero(diverged), stage=mujoco.mjtStage.mjSTAGE_VEL)
        return diverged

    def _warnings(self) -> NDArray[np.int64]:
        """How many warnings of divergence each simulation has raised so far (B,)."""
        return self._batch.warning[:, DIVERGENCE_WARNINGS, 1].sum(axis=1)

    def _judge(
        self, true: Measurement, diverged: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.float32]]:
        """How each episode stands, which goals were reached, and the rewards."""
        distance = geodesic_angle(true.object_quaternion, self.goal)
        reached = distance < SUCCESS_ANGLE
        dropped = true.object_position[:, 2] < names.DROP_HEIGHT
        self._since_goal += 1
        outcome = np.full(self.num_envs, RUNNING)
        outcome[self._since_goal >= self._limit] = TIMED_OUT
        outcome[reached] = RUNNING
        outcome[reached & (self.goals + 1 >= MAX_GOALS)] = FINISHED
        outcome[dropped] = DROPPED
        outcome[diverged] = DIVERGED
        reached &= (outcome == RUNNING) | (outcome == FINISHED)
        self.goals += reached
        reward = self._distance - distance + SUCCESS_REWARD * reached + DROP_REWARD * dropped
        self._distance = distance
        return outcome, reached, np.where(diverged, 0.0, reward).astype(np.float32)

    def _new_goals(self, ids: NDArray[np.intp], quat: Array) -> None:
        """Gives simulations `ids` (K,) their next goals; `quat` (K, 4) is how their objects lie."""
        if not len(ids):
            return
        context = GoalContext(self._start[ids], quat, self.max_angle)
        self.goal[ids] = goals(
            self.config.task, self.seed, self.episode[ids], self.goals[ids], context
        )
        self._since_goal[ids] = 0
        self._distance[ids] = geodesic_angle(quat, self.goal[ids])

    def _restart(self, ids: NDArray[np.intp]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Starts the episodes that `episode` names in simulations `ids` (K,), and looks at them."""
        starts = np.stack([self._starts.qpos(int(episode)) for episode in self.episode[ids]])
        where = np.zeros(self.num_envs, dtype=bool)
        where[ids] = True
        actuated = np.zeros((self.num_envs, len(self._actuated)))
        actuated[ids] = starts[:, self._actuated]
        self.decoder.reset(actuated, where if len(self.decoder.targets) else None)
        targets = self.decoder.targets[ids]
        if self.randomizer is not None:
            self.randomizer.begin(ids, self.episode[ids], targets)
        self._batch.reset(ids, stage=mujoco.mjtStage.mjSTAGE_NONE)
        self._qpos[ids], self._qvel[ids], self._ctrl[ids] = starts, 0.0, targets
        self._batch.forward(ids, stage=mujoco.mjtStage.mjSTAGE_VEL)
        true = self._measure(ids)
        self._start[ids] = true.object_quaternion
        self.goals[ids] = 0
        self._new_goals(ids, true.object_quaternion)
        return self._observe(ids, true)

    def _observe(
        self, ids: NDArray[np.intp], true: Measurement
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What policy (K, n) and critic (K, m) see of simulations `ids`; renews `seen`."""
        seen = true if self.randomizer is None else self.randomizer.sense(true, ids)
        self.seen.fingertips[ids], self.seen.joints[ids] = seen.fingertips, seen.joints
        self.seen.object_position[ids] = seen.object_position
        self.seen.object_quaternion[ids] = seen.object_quaternion
        goal, targets = self.goal[ids], self.decoder.scaled_targets[ids]
        dof, velocity = self.scene.object_dof, self._qvel[ids]
        critic = np.concatenate(
            [
                build_observation(LAYOUTS["joints"], true, goal, targets),
                velocity[:, self.scene.joint_dof] * 0.1,
                vectors_to_hand(velocity[:, dof][:, :3]),
                velocity[:, dof][:, 3:] * 0.1,
            ],
            axis=-1,
            dtype=np.float32,
        )
        return build_observation(self.layout, seen, goal, targets), critic
