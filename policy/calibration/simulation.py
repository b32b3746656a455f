"""Simulates a hand with many sets of parameters along recorded commands."""

from collections.abc import Callable
from typing import NamedTuple

import mujoco
import numpy as np
from numpy.typing import NDArray

from opendactyl.geometry.rotation import Array
from opendactyl.policy.calibration.commands import Commands
from opendactyl.policy.calibration.motion import Start
from opendactyl.policy.calibration.parameters import ParameterSpace, Values
from opendactyl.policy.env.batch_sim import BatchSim
from opendactyl.policy.randomization.actuation import Ids
from opendactyl.policy.randomization.backlash import Backlash
from opendactyl.policy.randomization.model_fields import ModelFields
from opendactyl.sim.object_geoms import OBJECT_BODY
from opendactyl.sim.scene import Scene, scene_spec
from opendactyl.sim.timing import TIMESTEP


def empty_scene(hand: str) -> Scene:
    """The hand alone: its object neither collides nor falls.

    Raises:
        InputError: there is no such hand, or its model cannot be used.
    """
    spec = scene_spec("block", hand, visual=False)
    body = spec.body(OBJECT_BODY)
    body.gravcomp = 1.0
    for geom in body.geoms:
        geom.contype = geom.conaffinity = 0
    return Scene.compile(spec, "block", hand)


class Tracks(NamedTuple):
    """Simulated motions, at every physics step and at the beginning."""

    joints: NDArray[np.float32]
    """Angles (K, S + 1, J), as encoders without offset would read them."""
    efforts: NDArray[np.float32]
    """Torques of the actuators (K, S + 1, A), in N m; without any (A = 0) if not asked for."""


class HandSimulation:
    """A batch of simulations that are used again and again."""

    def __init__(
        self, scene: Scene, commands: Commands, size: int, threads: int = 0, *, efforts: bool
    ) -> None:
        """Creates `size` simulations of a scene of `empty_scene`, with or without efforts."""
        self._scene, self._commands, self.size, self._efforts = scene, commands, size, efforts
        self._sim = BatchSim(scene, size, threads)
        self.fields = ModelFields(self._sim.batch, scene)
        batch = self._sim.batch
        self._qpos, self._qvel = batch.bind("qpos"), batch.bind("qvel")
        self._ctrl, self._force = batch.bind("ctrl"), batch.bind("actuator_force")
        self._backlash = Backlash(size, np.ones(len(scene.hand.actuators)))

    def run(
        self, space: ParameterSpace, values: Values, which: Ids, start: Start, time: Array,
        steps: int, applied: Array | None = None,
    ) -> Tracks:  # fmt: skip
        """Simulates K ≤ `size` motions.

        Args:
            space: the parameters.
            values: of P sets of them.
            which: the set of each motion (K,).
            start: their states at the beginning.
            time: when they begin (K,), in seconds of the log.
            steps: their length in physics steps.
            applied: the targets (M, P, A) that act after each command; None: slack is taken up
                along the simulated angles.
        """
        ids = np.arange(len(which))
        physics = [space.physics(values, number) for number in range(len(values["delay"]))]
        self.fields.apply(ids, [physics[number] for number in which])
        qpos = np.tile(self._scene.model.qpos0, (len(ids), 1))
        qpos[:, self._scene.joint_qpos] = start.joints
        self._sim.set_state(ids, self._scene.couplings.enforce(qpos), start.applied)
        self._qvel[np.ix_(ids, self._scene.joint_dof)] = start.velocities
        self._backlash.slack[ids] = start.slack
        rates = np.stack([values["slack_down"], values["slack_up"]], axis=1)[which]
        delay = values["delay"][which]
        joints = np.zeros((len(ids), steps + 1, len(self._scene.joint_qpos)), dtype=np.float32)
        efforts = np.zeros((*joints.shape[:2], delay.shape[1] * self._efforts), dtype=np.float32)
        joints[:, 0], last, acting = start.joints, start.last, start.applied
        arriving = self._arriving(ids, which, rates, applied)
        for step in range(steps):
            now = time + step * TIMESTEP
            latest = self._latest(now, delay)
            self._ctrl[ids], before = acting, acting
            if (new := latest > last).any():
                acting = np.where(new, arriving(latest, latest - last), before)
                late = (now[:, None] - delay - self._commands.time[latest]) / TIMESTEP
                # For the time between arrival and now, so that motions are smooth in the delay.
                self._ctrl[ids] = np.where(new, acting + late * (acting - before), before)
                last = latest
            self._sim.batch.step(ids, nstep=1, stage=mujoco.mjtStage.mjSTAGE_VEL)
            joints[:, step + 1] = self._qpos[np.ix_(ids, self._scene.joint_qpos)]
            if self._efforts:
                efforts[:, step + 1] = self._force[ids]
        return Tracks(joints, efforts)

    def _latest(self, now: Array, delay: Array) -> Ids:
        """The last commands (K, A) that arrive up to half a physics step after `now` (K,)."""
        arrived = np.searchsorted(
            self._commands.time, now[:, None] + TIMESTEP / 2 - delay, side="right"
        )
        return arrived - 1

    def _arriving(
        self, ids: Ids, which: Ids, rates: Array, applied: Array | None
    ) -> Callable[[Ids, Ids], Array]:
        """Gives the targets (K, A) that act after commands (K, A), and how many are new."""
        actuator = np.arange(rates.shape[2])
        if applied is not None:
            return lambda latest, new: applied[latest, which[:, None], actuator]
        return lambda latest, new: self._backlash(
            self._commands.targets[latest, actuator], self._scene.actuated(self._qpos[ids]), ids,
            rates, arrived=new > 0, period=self._commands.period * new.astype(np.float64),
        )  # fmt: skip
