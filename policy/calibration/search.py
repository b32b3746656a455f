"""Where a fit begins: a search for delay, slack and encoder offset that simulates nothing.

For a candidate of these four, the targets u that act follow from the log. What is left of the
motion of a joint is linear in the other parameters: v = (g w k e - tau) / d + c, with its speed v,
the gain g, the stiffness k and the weight w of the actuator, e = u - q, the torque tau that moves
the links with the masses of the model, and the damping d. A regression tells how well that fits.
"""

from collections.abc import Callable
from typing import NamedTuple

import mujoco
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d
from scipy.optimize import differential_evolution
from scipy.signal import savgol_coeffs

from opendactyl.geometry.rotation import Array
from opendactyl.policy.calibration.parameters import KINDS
from opendactyl.policy.calibration.prediction import Predictor
from opendactyl.policy.calibration.windows import MAX_GAP
from opendactyl.policy.randomization.backlash import along
from opendactyl.sim.scene import Scene

STEP = 0.008
"""Step of the grid in seconds."""
SMOOTHED = 0.1
"""Duration over which angles and targets are smoothed, in seconds, or five samples of the log."""
EVERY = 3
"""Every so many points of the grid are compared."""
ROBUST = 0.1
"""Residuals of speeds beyond this, in rad/s, count less (soft L1 loss)."""
NEAR_LIMIT = 0.03
"""Joints closer to their limits than this, in radians, are not compared."""
MIN_POINTS = 50
"""Joints with fewer points away from their limits are not compared."""
LEAST_EXPLAINED = 0.2
"""An actuator that explains less than this fraction of the loss without it is left as it is."""
LEAST_DAMPING = 1e-3
"""Damping of joints that have less, in N m s/rad."""
MAX_FACTOR = 4.0
"""How much larger or smaller than in the model damping may be."""
SEARCHED = {
    "delay": (0.0, 0.2),
    "slack_down": (0.7, 6.0),
    "slack_up": (0.7, 6.0),
    "offset": (-0.1, 0.1),
}
"""Bounds of the coordinates that are searched; the offset is that of the actuator's angle."""
POPULATION, GENERATIONS = 16, 30
"""Differential evolution: candidates for each coordinate, and generations."""


class Motion(NamedTuple):
    """What the log says about joints, at N points in time."""

    rows: NDArray[np.intp]
    """On the grid (N,)."""
    speed: Array
    """(N, J) in rad/s."""
    torque: Array
    """(N, J) in N m, that moves the links with the model's masses, beside damping."""
    free: NDArray[np.bool_]
    """Whether each is away from its limits (N, J)."""


def find_start(predictor: Predictor, advance: Callable[[], object] = lambda: None) -> Array:
    """The coordinates x (n,) at which a fit begins.

    Args:
        predictor: the log and the hand.
        advance: is called after each actuator.
    """
    regression, rng = Regression(predictor), np.random.default_rng(0)
    x = predictor.space.mean.copy()
    for actuator in range(len(predictor.scene.hand.actuators)):
        found = differential_evolution(
            lambda candidates, a=actuator: regression(a, candidates.T)[0],
            list(SEARCHED.values()), popsize=POPULATION, maxiter=GENERATIONS, tol=0, polish=False,
            vectorized=True, updating="deferred", init="sobol", rng=rng,
        )  # fmt: skip
        factors = regression(actuator, found.x[None])[1][0]
        if factors.any():
            _enter(x, predictor, actuator, dict(zip(SEARCHED, found.x, strict=True)), factors)
        advance()
    return np.clip(x, predictor.space.low, predictor.space.high)


def _enter(
    x: Array, predictor: Predictor, actuator: int, found: dict[str, float], factors: Array
) -> None:
    """Sets coordinates x (n,) of an actuator, and of its joints, whose gain over damping is known.

    That of the gain keeps its mean: the regression hardly tells the scale of both. Of two actuators
    of one joint the last one sets the joint's.
    """
    scene, slices = predictor.scene, predictor.space.slices
    for kind in ("delay", "slack_down", "slack_up"):
        x[slices[kind].start + actuator] = found[kind]
    weights, limit = scene.transmission.weights[actuator], KINDS["damping"].high / 2
    for (joint, weight), factor in zip(moved_joints(scene, actuator), factors, strict=True):
        own = scene.model.dof_damping[scene.joint_dof[joint]]
        if not factor > 0:
            continue
        x[slices["offset"].start + joint] = found["offset"] * weight / (weights @ weights)
        whole = damping_of(scene, actuator, joint, weight)
        if own > 0.1 * whole:  # otherwise the servo damps, and its gain is not told
            ratio = np.clip((whole / factor - whole + own) / own, np.exp(-limit), np.exp(limit))
            x[slices["damping"].start + joint] = np.log(ratio)


def moved_joints(scene: Scene, actuator: int) -> list[tuple[int, float]]:
    """The joints that an actuator moves, with their weights."""
    joints, weights = scene.transmission.joints[actuator], scene.transmission.weights[actuator]
    return [(int(j), float(w)) for j, w in zip(joints, weights, strict=True) if w]


def damping_of(scene: Scene, actuator: int, joint: int, weight: float) -> float:
    """The damping of a joint by itself and by the servo's velocity term, in N m s/rad."""
    servo = -scene.model.actuator_biasprm[actuator, 2] * weight**2
    return max(float(scene.model.dof_damping[scene.joint_dof[joint]] + servo), LEAST_DAMPING)


class Regression:
    """Compares candidates of delay, slack and offset."""

    def __init__(self, predictor: Predictor) -> None:
        """Smooths the log, and computes torques."""
        log, self._commands, self._scene = predictor.log, predictor.commands, predictor.scene
        self._grid = np.arange(log.time[0], log.time[-1], STEP)
        raw = np.stack([np.interp(self._grid, log.time, q) for q in log.joints.T], axis=1)
        width = round(max(SMOOTHED, 5 * log.interval) / STEP) // 2 * 2 + 1
        filters = [savgol_coeffs(width, 3, k, STEP, use="dot") for k in range(3)]
        self._filter = filters[0]
        angles, speeds, accelerations = (correlate1d(raw, f, axis=0) for f in filters)
        self._actuated = self._scene.transmission(angles)
        rows = np.arange(width, len(angles) - width, EVERY)
        gaps = np.flatnonzero(np.diff(log.time) > MAX_GAP)
        reach, grid = width * STEP, self._grid
        for before, after in zip(log.time[gaps], log.time[gaps + 1], strict=True):
            rows = rows[(grid[rows] < before - reach) | (grid[rows] > after + reach)]
        low, high = self._scene.joint_range.T
        near = (angles[rows] < low + NEAR_LIMIT) | (angles[rows] > high - NEAR_LIMIT)
        torque = _torques(self._scene, angles[rows], speeds[rows], accelerations[rows])
        self._motion = Motion(rows, speeds[rows], torque, ~near)

    def __call__(self, actuator: int, candidates: Array) -> tuple[Array, Array]:
        """Compares candidates of an actuator.

        Args:
            actuator: its number.
            candidates: coordinates (P, 4) in the order of `SEARCHED`.

        Returns:
            Losses (P,), and for each joint that it moves the ratio of gain to damping (P, joints),
            as a factor of the model's; 0 where the actuator explains nothing of the motion.
        """
        scene, motion, model = self._scene, self._motion, self._scene.model
        excess = self._targets(actuator, candidates)[:, motion.rows]
        excess -= self._actuated[motion.rows, actuator] - candidates[:, 3:]
        force = excess * model.actuator_gainprm[actuator, 0]
        if model.actuator_forcelimited[actuator]:
            force = np.clip(force, *model.actuator_forcerange[actuator])
        losses, factors = np.zeros(len(candidates)), []
        for joint, weight in moved_joints(scene, actuator):
            free = motion.free[:, joint]
            if free.sum() < MIN_POINTS:
                factors.append(np.zeros(len(candidates)))
                continue
            damping = damping_of(scene, actuator, joint, weight)
            torque, speed = motion.torque[free, joint] / damping, motion.speed[free, joint]
            still = np.zeros((1, len(speed)))
            loss, factor = _regress(
                speed, -torque, np.vstack([force[:, free] * (weight / damping), still])
            )
            losses += loss[:-1] * free.mean()
            factors.append(np.where(loss < (1 - LEAST_EXPLAINED) * loss[-1], factor, 0)[:-1])
        return losses, np.stack(factors, axis=1)

    def _targets(self, actuator: int, candidates: Array) -> Array:
        """The targets (P, N) that act, averaged over each step of the grid, and smoothed."""
        time, delay = self._commands.time, candidates[:, 0]
        row = np.clip((time[:, None] + delay - self._grid[0]) / STEP, 0, len(self._grid) - 1.001)
        before = row.astype(np.intp)
        measured = self._actuated[:, actuator]
        arrived = measured[before] + (row - before) * (measured[before + 1] - measured[before])
        _, applied = along(
            self._commands.targets[:, None, [actuator]], (arrived - candidates[:, 3])[..., None],
            np.exp(candidates[:, 1:3])[..., None], self._commands.period,
        )  # fmt: skip
        ends = np.append(time, self._grid[-1] + 1)
        total = np.cumsum(applied[..., 0] * np.diff(ends)[:, None], axis=0)
        edges = np.append(self._grid, self._grid[-1] + STEP) - STEP / 2
        integral = [
            np.interp(edges - late, ends, np.append(0, column))
            for late, column in zip(delay, total.T, strict=True)
        ]
        return correlate1d(np.diff(integral) / STEP, self._filter, axis=1)


def _torques(scene: Scene, angles: Array, speeds: Array, accelerations: Array) -> Array:
    """Torques (N, J) of inertia, gravity, springs and friction, without damping."""
    model, data = scene.model, mujoco.MjData(scene.model)
    dof, torque, found = scene.joint_dof, np.zeros(scene.model.nv), np.zeros_like(angles)
    for number, (q, v, acceleration) in enumerate(zip(angles, speeds, accelerations, strict=True)):
        data.qpos[scene.joint_qpos], data.qvel[dof], data.qacc[dof] = q, v, acceleration
        data.qpos[:] = scene.couplings.enforce(data.qpos)
        for stage in (
            mujoco.mj_kinematics, mujoco.mj_comPos, mujoco.mj_tendon, mujoco.mj_comVel,
            mujoco.mj_passive,
        ):  # fmt: skip
            stage(model, data)
        mujoco.mj_rne(model, data, 1, torque)
        torque -= data.qfrc_spring + data.qfrc_gravcomp
        found[number] = torque[dof]
    found += model.dof_armature[dof] * accelerations
    return found + model.dof_frictionloss[dof] * np.tanh(speeds / 0.05)


def _regress(speed: Array, inertia: Array, excess: Array) -> tuple[Array, Array]:
    """Regressions of a speed (N,) on a torque (N,) and P driving torques (P, N), all by damping.

    Returns:
        Losses (P,) and coefficients (P,) of the driving torques, which are not negative.
    """
    weight = spread = np.ones_like(excess)
    fixed = np.stack([np.ones_like(speed), inertia, speed], axis=1)
    products = np.stack([inertia**2, inertia * speed], axis=1)
    for _ in range(2):
        n, a, y = (weight @ fixed).T
        aa, ay = (weight @ products).T
        e, ea, ey = ((weight * excess) @ fixed).T
        ee = np.einsum("pn,pn,pn->p", weight, excess, excess)
        # Means are removed; the noise of accelerations makes the coefficient of inertia too small.
        saa, say, sea = aa - a * a / n, ay - a * y / n, ea - e * a / n
        see, sey = ee - e * e / n + 1e-12, ey - e * y / n
        alone = (say * see - sea * sey) / (saa * see - sea**2 + 1e-12)
        of_inertia = np.clip(alone, 1 / MAX_FACTOR, MAX_FACTOR)
        of_excess = np.maximum((sey - of_inertia * sea) / see, 0)
        constant = (y - of_inertia * a - of_excess * e) / n
        residual = speed - constant[:, None] - of_inertia[:, None] * inertia
        residual -= of_excess[:, None] * excess
        spread = np.sqrt(1 + (residual / ROBUST) ** 2)
        weight = 1 / spread
    return ROBUST**2 * (spread - 1).mean(axis=1), of_excess
