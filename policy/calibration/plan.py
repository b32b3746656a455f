"""A plan of safe motions that tell the parameters of a hand."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray

from opendactyl.core.atomic_files import write_text
from opendactyl.core.errors import InputError
from opendactyl.geometry.rotation import Array
from opendactyl.policy.calibration.parameters import find_chains
from opendactyl.policy.calibration.simulation import empty_scene
from opendactyl.sim.hands.log_columns import TIME_UNITS
from opendactyl.sim.hands.shipped import hand_spec
from opendactyl.sim.scene import Scene
from opendactyl.sim.timing import CONTROL_PERIOD, SUBSTEPS

TRIES = 100
"""Motions that are tried; each moves the fingers that collided in the one before less."""
REST = 0.8
"""Time at the end of a motion in which the hand returns to rest, in seconds, unless it is slow."""
MOTION = 3.0
"""Duration of a motion in seconds, or three times that of the return to rest."""
HOLDS = (0.24, 1.2)
"""Shortest and longest time between two reversals of an actuator, in seconds."""
CLEARANCE = 0.001
"""Distance in metres between links below which they count as colliding."""
PHASES = (0.35, 0.25, 0.4)
"""Fractions of the time in which actuators move alone, fingers alone, and all."""


@dataclass(frozen=True, kw_only=True)
class PlanConfig:
    """Settings of a plan."""

    seconds: float = 180.0
    """Duration."""
    max_speed: float = 3.0
    """Largest speed of the targets, in rad/s."""
    margin: float = 0.1
    """Fraction of each actuator's range that is left out at either end."""
    seed: int = 0
    """Seed of the motions."""

    def __post_init__(self) -> None:
        """Raises an `InputError` for invalid values."""
        if not 10 <= self.seconds <= 3600:
            raise InputError(f"--seconds is {self.seconds:g}; it must be from 10 to 3600")
        if not self.max_speed > 0:
            raise InputError(f"--max-speed is {self.max_speed:g}; it must be positive")
        if not 0 <= self.margin < 0.5:
            raise InputError(f"--margin is {self.margin:g}; it must be at least 0, and below 0.5")


def make_plan(hand: str, config: PlanConfig) -> Array:
    """Targets (M, A) in radians, one for each control period.

    Each actuator moves alone, then those of each finger together, then all. Motions that bring
    links of the simulated hand closer than `CLEARANCE` are replaced by smaller ones.

    Raises:
        InputError: the hand collides with itself while it does not move, or the time is too short
            for every actuator to move.
    """
    scene = empty_scene(hand)
    simulated = _SimulatedHand(scene)
    rest, low, high = _ranges(scene, config)
    if simulated.colliding(np.tile(rest, (25, 1))).any():
        raise InputError(
            f"{scene.hand.where} collides with itself in its start position; set [start] joints"
        )
    rng, step = np.random.default_rng(config.seed), config.max_speed * CONTROL_PERIOD
    farthest = float(np.maximum(high - rest, rest - low).max())
    back = max(round(REST / CONTROL_PERIOD), math.ceil(farthest / step - 1e-9))
    phases = list(_phases(scene, round(config.seconds / CONTROL_PERIOD), back))
    _check_lengths(hand, config, [actions for _, actions in phases], back)
    plan = [rest[None]]
    for moving, actions in phases:
        plan.append(_motion(rng, simulated, moving, actions, back, (rest, low, high), step))
    return np.concatenate(plan)


def _check_lengths(hand: str, config: PlanConfig, lengths: Sequence[int], back: int) -> None:
    """Raises an `InputError` if a motion of so many actions would be over before it began."""
    shortest, needed = min(lengths), back + round(HOLDS[0] / CONTROL_PERIOD)
    if shortest < needed:
        seconds = math.ceil(config.seconds * needed / max(shortest, 1))
        raise InputError(
            f"--seconds is {config.seconds:g}, too short for each actuator of {hand} to move alone "
            f"and return to rest; give about {seconds}"
        )


def write_plan(plan: Array, hand: str, path: Path) -> None:
    """Writes targets (M, A) as CSV, with the columns that the hand's logs have.

    Raises:
        InputError: there is no such hand, or the file cannot be written.
        EnvironmentFailure: the disk is full or failed.
    """
    description = hand_spec(hand)
    columns = description.log
    time = np.arange(len(plan)) * CONTROL_PERIOD / TIME_UNITS[columns.time_unit]
    unit = 180 / np.pi if columns.angle_unit == "deg" else 1.0
    names = [columns.time, *(columns.column("target", name) for name in description.actuators)]
    rows = [",".join(f"{value:.6g}" for value in row) for row in np.c_[time, plan * unit]]
    write_text(path, "\n".join([",".join(names), *rows]) + "\n")


def _motion(
    rng: np.random.Generator, simulated: "_SimulatedHand", moving: Sequence[int], actions: int,
    back: int, ranges: tuple[Array, Array, Array], step: float,
) -> Array:  # fmt: skip
    """Targets (actions, A) that begin and end at rest; actuators that do not move make room.

    The last `back` of them return to rest.
    """
    rest, low, high = ranges
    size = np.ones(len(rest))
    for _ in range(TRIES):
        near = rest + size * (low - rest), rest + size * (high - rest)
        targets = np.tile(rng.uniform(*near), (actions, 1))
        for a in moving:
            targets[:, a] = _random_steps(rng, actions, near[0][a], near[1][a])
        targets[-back:] = rest
        targets = _limit_speed(targets, rest, step)
        colliding = simulated.colliding(targets)
        if not colliding.any():
            return targets
        size[colliding] *= 0.9
    return np.tile(rest, (actions, 1))


def _random_steps(rng: np.random.Generator, actions: int, low: float, high: float) -> Array:
    """Targets (actions,) that jump between the lower and the upper half."""
    targets, up = np.zeros(actions), bool(rng.integers(2))
    middle, first = (low + high) / 2, 0
    while first < actions:
        held = max(1, round(rng.uniform(*HOLDS) / CONTROL_PERIOD))
        targets[first : first + held] = rng.uniform(*((middle, high) if up else (low, middle)))
        up, first = not up, first + held
    return targets


def _limit_speed(targets: Array, start: Array, step: float) -> Array:
    limited, now = np.empty_like(targets), start
    for number, target in enumerate(targets):
        now = now + np.clip(target - now, -step, step)
        limited[number] = now
    return limited


def _ranges(scene: Scene, config: PlanConfig) -> tuple[Array, Array, Array]:
    """Targets at rest, and the lowest and the highest ones (A,)."""
    low, high = scene.actuator_range.T
    inside = config.margin * (high - low)
    start = dict(scene.hand.start_joints)
    joints = 0.3 * scene.joint_range.mean(axis=1) + 0.7 * np.clip(0.0, *scene.joint_range.T)
    for number, name in enumerate(scene.hand.joints):
        joints[number] = start.get(name, joints[number])
    rest = np.clip(scene.transmission(joints), low + inside, high - inside)
    return rest, low + inside, high - inside


def _phases(scene: Scene, actions: int, back: int) -> Iterator[tuple[list[int], int]]:
    """The actuators that move together, and for how many actions, `back` of them to rest."""
    chains = find_chains(scene, np.zeros(0, dtype=np.intp)).actuators
    every, seconds = list(range(len(chains))), max(MOTION, 3 * back * CONTROL_PERIOD)
    fingers = [np.flatnonzero(chains == c).tolist() for c in np.unique(chains)]
    for fraction, sets in zip(PHASES, ([[a] for a in every], fingers, [every]), strict=True):
        repeats = max(1, round(fraction * actions * CONTROL_PERIOD / (seconds * len(sets))))
        length = int(fraction * actions / (repeats * len(sets)))
        for _ in range(repeats):
            for moving in sets:
                yield moving, length


class _SimulatedHand:
    """Plays targets in simulation."""

    def __init__(self, scene: Scene) -> None:
        model = scene.model
        model.geom_gap[:] += CLEARANCE / 2  # contacts are found earlier, and push as late as before
        model.pair_gap[:] += CLEARANCE
        mujoco.mj_setConst(model, mujoco.MjData(model))  # the margins of whole bodies
        self._scene, self._data = scene, mujoco.MjData(model)
        self._chains = find_chains(scene, np.arange(model.nbody))

    def colliding(self, targets: Array) -> NDArray[np.bool_]:
        """Which actuators (A,) move links that touch; if none does, the hand stays at the end."""
        data, model = self._data, self._scene.model
        kind = mujoco.mjtState.mjSTATE_INTEGRATION
        state = np.empty(mujoco.mj_stateSize(model, kind))
        mujoco.mj_getState(model, data, state, kind)
        for target in targets:
            data.ctrl[:] = target
            for _ in range(SUBSTEPS):
                mujoco.mj_step(model, data)
                if data.ncon:
                    touching = self._chains.links[model.geom_bodyid[data.contact.geom]]
                    mujoco.mj_setState(model, data, state, kind)
                    return np.isin(self._chains.actuators, touching)
        return np.zeros(len(self._chains.actuators), dtype=bool)
