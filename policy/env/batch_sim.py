"""Batched MuJoCo simulations of the hand: stepping and true measurements, without goals."""

from collections.abc import Callable

import mujoco
import numpy as np
from mujoco.batch import Batch, SimulationError
from numpy.typing import NDArray

from opendactyl.core.cpu import cores
from opendactyl.geometry.rotation import Array
from opendactyl.policy.interface.observations import Measurement
from opendactyl.sim.scene import Scene
from opendactyl.sim.state import State
from opendactyl.sim.timing import SUBSTEPS

DIVERGENCE_WARNINGS = [
    int(kind) for kind in (
        mujoco.mjtWarning.mjWARN_INERTIA, mujoco.mjtWarning.mjWARN_BADQPOS,
        mujoco.mjtWarning.mjWARN_BADQVEL, mujoco.mjtWarning.mjWARN_BADQACC,
        mujoco.mjtWarning.mjWARN_BADCTRL,
    )
]  # fmt: skip
"""MuJoCo warnings that mean divergence."""


class BatchSim:
    """B simulations of a hand and its object."""

    def __init__(self, scene: Scene, count: int, threads: int) -> None:
        """Creates `count` simulations stepped on `threads` threads; 0 means one per core."""
        self.scene = scene
        self.batch = Batch(scene.model, count, threads or cores(), persistent=True)
        self._qpos, self._qvel = self.batch.bind("qpos"), self.batch.bind("qvel")
        self._ctrl, self._sites = self.batch.bind("ctrl"), self.batch.bind("site_xpos")
        self._forces = self.batch.bind("actuator_force")
        # Without a sensor, MuJoCo has no such array.
        self._sensors = self.batch.bind("sensordata") if scene.touch_sensors.size else None

    @property
    def actuated(self) -> Array:
        """Current angles (B, A) that the actuators control, in radians."""
        return self.scene.actuated(self._qpos)

    @property
    def applied_targets(self) -> Array:
        """The targets (B, 20) that act, in radians."""
        return self._ctrl

    def state(self, number: int) -> State:
        """The state of one simulation, for rendering."""
        return self.scene.state(self._qpos[number])

    def object_pose(self) -> tuple[Array, Array]:
        """The true poses of the objects in the hand frame: (B, 3) and (B, 4)."""
        pose = self._qpos[:, self.scene.object_qpos]
        return self.scene.hand.frame.to_hand(pose[:, :3], pose[:, 3:])

    def measure(self, ids: NDArray[np.intp]) -> Measurement:
        """The true measurements of simulations `ids`; forces are those of the last physics step."""
        qpos = self._qpos[ids]
        pose = qpos[:, self.scene.object_qpos]
        touch = np.full((len(ids), len(self.scene.fingertip_sites)), np.nan)
        if self._sensors is not None:
            touch = self._sensors[np.ix_(ids, self.scene.touch_sensors)]
        return Measurement(
            self.scene.fingertips(self._sites[ids]),
            *self.scene.hand.frame.to_hand(pose[:, :3], pose[:, 3:]),
            qpos[:, self.scene.joint_qpos],
            touch,
            self._forces[ids],
            self.scene.hinges(qpos),
        )

    def hinge_velocities(self, ids: NDArray[np.intp]) -> Array:
        """Velocities (K, H) of the object's hinges."""
        return self._qvel[ids][:, self.scene.hinge_dof]

    def velocities(self, ids: NDArray[np.intp]) -> tuple[Array, Array, Array]:
        """Joint velocities (K, 24), and linear (K, 3) and angular (K, 3) velocities of the objects.

        Linear velocities are in the hand frame, angular ones in the object's own frame.
        """
        velocity = self._qvel[ids]
        obj = velocity[:, self.scene.object_dof]
        linear = self.scene.hand.frame.vectors_to_hand(obj[:, :3])
        return velocity[:, self.scene.joint_dof], linear, obj[:, 3:]

    def set_state(self, ids: NDArray[np.intp], qpos: Array, targets: Array) -> None:
        """Sets simulations `ids` (K,) to states (K, nq), at rest, with targets (K, 20)."""
        self.batch.reset(ids, stage=mujoco.mjtStage.mjSTAGE_NONE)
        self._qpos[ids], self._qvel[ids], self._ctrl[ids] = qpos, 0.0, targets
        self.batch.forward(ids, stage=mujoco.mjtStage.mjSTAGE_VEL)

    def advance(
        self,
        ids: NDArray[np.intp],
        targets: Array,
        targets_at: Callable[[int, Array, NDArray[np.intp]], Array] | None = None,
    ) -> NDArray[np.bool_]:
        """Steps simulations `ids` by one action with targets (B, 20).

        Args:
            ids: the simulations (K,).
            targets: of all simulations (B, 20), in radians.
            targets_at: gives the targets (K, 20) of each physics step instead, from its number, the
                current angles (K, 20) and `ids`.

        Returns:
            Which of all simulations (B,) diverged; these are reset to the model's initial state.
        """
        before, failed = self._warnings(), list[int]()
        if targets_at is None:
            self._ctrl[:] = targets
            failed += self._step(ids, SUBSTEPS)
        else:
            for step in range(SUBSTEPS):
                self._ctrl[ids] = targets_at(step, self.actuated[ids], ids)
                failed += self._step(ids, 1)
        # MuJoCo resets a diverged simulation silently and only increments a counter.
        diverged = self._warnings() > before
        diverged |= ~np.isfinite(self._qpos).all(axis=1) | ~np.isfinite(self._qvel).all(axis=1)
        diverged[failed] = True
        if diverged.any():
            self.batch.reset(np.flatnonzero(diverged), stage=mujoco.mjtStage.mjSTAGE_VEL)
        return diverged

    def _step(self, ids: NDArray[np.intp], count: int) -> list[int]:
        """Takes physics steps; returns the simulations that failed. The others are complete."""
        try:
            self.batch.step(ids, nstep=count, stage=mujoco.mjtStage.mjSTAGE_VEL)
        except SimulationError as error:
            return [int(i) for i in error.ids]
        return []

    def _warnings(self) -> NDArray[np.int64]:
        """Divergence warnings of each simulation so far (B,)."""
        return self.batch.warning[:, DIVERGENCE_WARNINGS, 1].sum(axis=1)
