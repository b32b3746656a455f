"""The environment: many hands at once on `mujoco.batch.Batch`.

One action is `SUBSTEPS` physics steps. A policy sees what a robot could measure, a critic sees
everything (asymmetric actor-critic, D18 Table 2).
"""

from dataclasses import dataclass

import mujoco
import numpy as np
from mujoco.batch import Batch
from numpy.typing import NDArray

from opendactyl.files.errors import InputError
from opendactyl.geometry.rotation import Array, geodesic_angle
from opendactyl.policy.interface import (
    LAYOUTS,
    ActionConfig,
    ActionDecoder,
    Measurement,
    build_observation,
    layout_size,
)
from opendactyl.policy.tasks import (
    MAX_GOALS,
    START_STREAM,
    SUCCESS_ANGLE,
    TRAINING_SECONDS,
    GoalContext,
    check_task,
    goal,
)
from opendactyl.sim import names
from opendactyl.sim.hand_frame import to_hand, vectors_to_hand
from opendactyl.sim.scene import Scene, load_scene
from opendactyl.sim.settle import settled_state
from opendactyl.sim.state import State

SUCCESS_REWARD, DROP_REWARD = 5.0, -20.0
"""Per goal and per drop (D18 4.2); beside them the decrease of the angle, in radians."""
BANK_SIZE = 256
"""Starting states that training episodes begin in, drawn once per seed."""
SETTLE_ACTIONS = 16
CRITIC_SIZE = 50 + 24 + 24 + 3 + 3
RUNNING, DROPPED, TIMED_OUT, FINISHED, DIVERGED = range(5)
"""How an episode stands, or ended."""


@dataclass(frozen=True, kw_only=True)
class EnvConfig:
    """Settings of the environment."""

    task: str = "spin"
    """spin, face-up or reorient."""
    object: str = "block"
    """The object in the hand."""
    layout: str = "default"
    """What the policy sees: a key of `interface.LAYOUTS`."""
    action: ActionConfig = ActionConfig()
    """How bins become targets."""
    seconds_per_goal: float = TRAINING_SECONDS
    """An episode ends when a goal is not reached for this long."""
    evaluation: bool = False
    """Number the episodes 0, 1, 2 …, start each in a state of its own, and never restart one."""

    def __post_init__(self) -> None:
        """Refuses unknown names."""
        check_task(self.task)
        if self.layout not in LAYOUTS:
            raise InputError(f"no layout {self.layout!r}; choose from {', '.join(LAYOUTS)}")


@dataclass(frozen=True, eq=False)
class Step:
    """What one action brought; B simulations. Ended episodes are already restarted."""

    policy: NDArray[np.float32]
    """What the policy sees next (B, n)."""
    critic: NDArray[np.float32]
    """What the critic sees next (B, CRITIC_SIZE)."""
    final_policy: NDArray[np.float32]
    """What the policy saw before any restart (B, n)."""
    final_critic: NDArray[np.float32]
    """What the critic saw before any restart (B, CRITIC_SIZE)."""
    reward: NDArray[np.float32]
    """(B,)."""
    terminated: NDArray[np.bool_]
    """Dropped or diverged (B,): nothing comes after."""
    truncated: NDArray[np.bool_]
    """Timed out or all goals reached (B,): the value goes on."""
    reached: NDArray[np.bool_]
    """A goal was reached (B,)."""
    goals: NDArray[np.int64]
    """Goals reached in the episode up to this action (B,), before any restart."""
    outcome: NDArray[np.int64]
    """How each episode stands after this action (B,), before any restart. In evaluation, of
    episodes that ended earlier it says nothing: ask `HandEnv.running` before the step."""


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
            seed: seed of starting states and goals.
            threads: threads that step them; 0 is one per core.
            first_episode: number of the first simulation's first episode; the others follow.
        """
        self.first_episode = first_episode
        self.config = config
        self.num_envs = num_envs
        self.seed = seed
        self.layout = LAYOUTS[config.layout]
        self.observation_size = layout_size(self.layout)
        self.scene: Scene = load_scene(config.object)
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
        self._bank: list[Array] = []

    def reset(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Starts every episode anew; returns what policy (B, n) and critic (B, m) see."""
        self.episode = self.first_episode + np.arange(self.num_envs)
        self.running = np.ones(self.num_envs, dtype=bool)
        self._restart(self.running)
        return self._observe()

    def step(self, bins: NDArray[np.integer]) -> Step:
        """Takes one action (B, 20) of bins in every simulation."""
        self._ctrl[:] = self.decoder.decode(bins, self._qpos[:, self._actuated])
        warnings = self._warnings()
        self._batch.step(
            np.flatnonzero(self.running), nstep=names.SUBSTEPS, stage=mujoco.mjtStage.mjSTAGE_VEL
        )
        position, quat = self.object_pose()
        outcome, reached, reward = self._judge(position, quat, warnings)
        goals = self.goals.copy()
        ended = (outcome != RUNNING) & (not self.config.evaluation)
        if self.config.evaluation:
            self.running &= outcome == RUNNING
        self._new_goals(reached & (outcome == RUNNING), quat)
        final_policy, final_critic = self._observe()
        policy, critic = final_policy, final_critic
        if ended.any():
            self.episode[ended] += self.num_envs
            self._restart(ended)
            policy, critic = self._observe()
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
        position, quat = self.object_pose()
        joints = self._qpos[:, self.scene.joint_qpos].copy()
        return Measurement(self.scene.fingertips(self._sites), position, quat, joints)

    def state(self, number: int) -> State:
        """The state of one simulation, for pictures."""
        return self.scene.state(self._qpos[number])

    def _judge(
        self, position: Array, quat: Array, warnings: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.float32]]:
        """How each episode stands, which goals were reached, and the rewards."""
        distance = geodesic_angle(quat, self.goal)
        reached = distance < SUCCESS_ANGLE
        dropped = position[:, 2] < names.DROP_HEIGHT
        self._since_goal += 1
        outcome = np.full(self.num_envs, RUNNING)
        outcome[self._since_goal >= self._limit] = TIMED_OUT
        outcome[reached] = RUNNING
        outcome[reached & (self.goals + 1 >= MAX_GOALS)] = FINISHED
        outcome[dropped] = DROPPED
        # A diverged simulation has been reset by the engine; only its counter tells.
        diverged = ~np.isfinite(self._qpos).all(axis=1) | (self._warnings() > warnings)
        outcome[diverged] = DIVERGED
        reached &= (outcome == RUNNING) | (outcome == FINISHED)
        self.goals += reached
        reward = np.where(diverged, 0.0, self._distance - distance)
        reward = reward + SUCCESS_REWARD * reached + DROP_REWARD * dropped
        self._distance = distance
        return outcome, reached, np.nan_to_num(reward).astype(np.float32)

    def _warnings(self) -> NDArray[np.int64]:
        """How many warnings each simulation has raised so far (B,)."""
        return self._batch.warning[:, :, 1].sum(axis=1)

    def _new_goals(self, where: NDArray[np.bool_], quat: Array) -> None:
        for i in np.flatnonzero(where):
            context = GoalContext(self._start[i], quat[i], self.max_angle)
            self.goal[i] = goal(
                self.config.task, self.seed, int(self.episode[i]), int(self.goals[i]), context
            )
        self._since_goal[where] = 0
        self._distance[where] = geodesic_angle(quat[where], self.goal[where])

    def _restart(self, where: NDArray[np.bool_]) -> None:
        ids = np.flatnonzero(where)
        self._batch.reset(ids, stage=mujoco.mjtStage.mjSTAGE_NONE)
        for i in ids:
            self._qpos[i] = self._starting_qpos(int(self.episode[i]))
            self._qvel[i] = 0.0
        self.decoder.reset(
            self._qpos[:, self._actuated], where if len(self.decoder.targets) else None
        )
        self._ctrl[ids] = self.decoder.targets[ids]
        self._batch.forward(ids, stage=mujoco.mjtStage.mjSTAGE_VEL)
        _, quat = self.object_pose()
        self._start[ids] = quat[ids]
        self.goals[ids] = 0
        self._new_goals(where, quat)

    def _starting_qpos(self, episode: int) -> Array:
        """The qpos an episode starts in; it depends on the seed and the episode alone."""
        if self.config.evaluation:
            return self._settle(episode)
        if not self._bank:
            self._bank = [self._settle(number) for number in range(BANK_SIZE)]
        rng = np.random.default_rng([self.seed, episode, START_STREAM])
        return self._bank[rng.integers(BANK_SIZE)]

    def _settle(self, number: int) -> Array:
        rng = np.random.default_rng([self.seed, number, START_STREAM])
        return self.scene.qpos(settled_state(self.scene, rng, SETTLE_ACTIONS))

    def _observe(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        seen = self.measurement()
        targets = self.decoder.scaled_targets
        policy = build_observation(self.layout, seen, self.goal, targets)
        dof = self.scene.object_dof
        critic = np.concatenate(
            [
                build_observation(LAYOUTS["joints"], seen, self.goal, targets),
                self._qvel[:, self.scene.joint_dof] * 0.1,
                vectors_to_hand(self._qvel[:, dof][:, :3]),
                self._qvel[:, dof][:, 3:] * 0.1,
            ],
            axis=-1,
            dtype=np.float32,
        )
        return policy, critic
