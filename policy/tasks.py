"""The tasks: which orientation comes next, when it is reached, and when an episode ends."""

from dataclasses import dataclass

import numpy as np

from opendactyl.files.errors import InputError
from opendactyl.geometry.rotation import (
    Array,
    geodesic_angle,
    quat_canonical,
    quat_from_axis_angle,
    quat_multiply,
    quat_rotate,
    quat_to_matrix,
    random_quat,
    yaw_quat,
)
from opendactyl.geometry.symmetry import CUBE_ROTATIONS

TASKS = ("spin", "face-up", "reorient")
"""From the easiest to the hardest."""
SUCCESS_ANGLE = 0.4
"""A goal is reached below this angle, in radians (D18 C.1)."""
MAX_GOALS = 50
"""An episode ends after this many goals (D18 C.1)."""
TRAINING_SECONDS = 8.0
"""A goal not reached for this long ends an episode in training (D18 C.1)."""
EVALUATION_SECONDS = 80.0
"""The same in evaluation (D18 6.2)."""
GOAL_STREAM, START_STREAM = 10, 11


def check_task(task: str) -> None:
    """Raises an `InputError` unless `task` is one of `TASKS`."""
    if task not in TASKS:
        raise InputError(f"no task {task!r}; the tasks are {', '.join(TASKS)}")


@dataclass(frozen=True)
class GoalContext:
    """What a goal may depend on beside its numbers."""

    start: Array
    """The object's orientation (4,) when the episode began."""
    present: Array
    """The object's orientation (4,) now: goals that are reached already are drawn again."""
    max_angle: float = np.pi
    """Curriculum of `reorient`: the goal is the present orientation turned by at most this."""


def goal(task: str, seed: int, episode: int, number: int, context: GoalContext) -> Array:
    """Draws goal `number` of an episode: an orientation (4,) in the hand frame.

    The draws depend on (seed, episode, number) alone, whatever happened before.
    """
    rng = np.random.default_rng([seed, episode, number, GOAL_STREAM])
    while True:
        candidate = _draw(task, rng, context)
        if geodesic_angle(candidate, context.present) > SUCCESS_ANGLE:
            return candidate


def _draw(task: str, rng: np.random.Generator, context: GoalContext) -> Array:
    if task == "spin":
        yaw = yaw_quat(rng.uniform(-np.pi, np.pi))
        return quat_canonical(quat_multiply(yaw, upright(context.start)))
    if task == "face-up":
        yaw = yaw_quat(rng.uniform(-np.pi, np.pi))
        face = CUBE_ROTATIONS[rng.integers(len(CUBE_ROTATIONS))]
        return quat_canonical(quat_multiply(yaw, face))
    if context.max_angle < np.pi:
        axis = rng.standard_normal(3)
        angle = rng.uniform(SUCCESS_ANGLE, max(context.max_angle, SUCCESS_ANGLE + 0.05))
        return quat_canonical(quat_multiply(quat_from_axis_angle(axis, angle), context.present))
    return random_quat(rng)


def upright(quat: Array) -> Array:
    """The orientation (4,) nearest to `quat` with one of the object's axes vertical."""
    vertical = quat_to_matrix(quat)[2]
    axis = np.argmax(np.abs(vertical))
    direction = quat_rotate(quat, np.eye(3)[axis] * np.sign(vertical[axis]))
    tilt_axis = np.cross(direction, [0.0, 0.0, 1.0])
    sine = np.linalg.norm(tilt_axis)
    if sine < 1e-9:
        return quat_canonical(quat)
    turn = quat_from_axis_angle(tilt_axis, np.arctan2(sine, direction[2]))
    return quat_canonical(quat_multiply(turn, quat))
