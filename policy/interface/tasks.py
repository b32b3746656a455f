"""The tasks: goal distributions, the success criterion and the limits of an episode."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from opendactyl.core.errors import InputError
from opendactyl.geometry.articulation import Articulation, Hinge, wrap_angle
from opendactyl.geometry.rotation import (
    Array,
    geodesic_angle,
    quat_canonical,
    quat_from_axis_angle,
    quat_multiply,
    quat_rotate,
    quat_to_matrix,
    yaw_quat,
)
from opendactyl.geometry.symmetry import CUBE_ROTATIONS, NO_SYMMETRY, SymmetryGroup
from opendactyl.policy.interface.face_goals import face_goal
from opendactyl.sim.timing import CONTROL_PERIOD

TASKS = ("spin", "face-up", "reorient")
"""Those of any object, in order of difficulty."""
ROTATE_FACE = "rotate-face"
"""The task of objects whose parts turn freely."""
SUCCESS_ANGLE = 0.4
"""A goal is reached below this angle, in radians (D18 C.1)."""
MAX_GOALS = 50
"""Goals after which an episode ends (D18 C.1)."""
TRAINING_SECONDS = 8.0
"""Time allowed for each goal in training (D18 C.1)."""
EVALUATION_SECONDS = 80.0
"""Time allowed for each goal in evaluation (D18 6.2)."""
SELECTION_SEED_OFFSET = 500_000
"""Added to a run's seed for the episodes that select its best checkpoint."""
MAX_SAMPLES = 1000
"""Goals sampled before the task is refused for a symmetric object."""
GOAL_STREAM, START_STREAM = 10, 11
RIGID = Articulation(np.zeros((0, 3)))
"""No hinges."""


def check_task(task: str) -> None:
    """Raises an `InputError` unless `task` is one of `TASKS`, or `ROTATE_FACE`."""
    if task not in (*TASKS, ROTATE_FACE):
        raise InputError(f"no task {task!r}; the tasks are {', '.join((*TASKS, ROTATE_FACE))}")


def check_task_of(
    task: str, object_name: str, hinges: Sequence[Hinge], symmetry: SymmetryGroup = NO_SYMMETRY
) -> None:
    """Checks that an object has what a task needs.

    Raises:
        InputError: the task is unknown, turns faces that the object does not have, or has no goals
            when an axis of the object's symmetry is vertical.
    """
    check_task(task)
    if task == "spin" and symmetry.smallest_angle <= 2 * SUCCESS_ANGLE:
        raise InputError(
            f"task {task} has no goal for the object {object_name} when the axis of its symmetry "
            f"is vertical: every yaw looks like one within {SUCCESS_ANGLE} rad; choose --task "
            "face-up or reorient"
        )
    if task != ROTATE_FACE:
        return
    if not hinges:
        raise InputError(
            f"task {task} turns faces, and the object {object_name} has none; use --object "
            f"face-cube, or one of the tasks {', '.join(TASKS)}"
        )
    for hinge in hinges:
        if hinge.limits is not None:
            raise InputError(
                f"task {task} turns faces by 90°, and the hinge {hinge.name} of the object "
                f"{object_name} has limits; use one of the tasks {', '.join(TASKS)}"
            )


def tasks_of(hinges: Sequence[Hinge], symmetry: SymmetryGroup) -> tuple[str, ...]:
    """The tasks that an object can have."""

    def has(task: str) -> bool:
        try:
            check_task_of(task, "", hinges, symmetry)
        except InputError:
            return False
        return True

    return tuple(task for task in (*TASKS, ROTATE_FACE) if has(task))


def check_seconds_per_goal(seconds: float) -> None:
    """Raises an `InputError` for a time in which no action, or no end, is possible."""
    if not CONTROL_PERIOD <= seconds < math.inf:
        raise InputError(
            f"seconds per goal is {seconds:g}; it must be finite, and at least one action, "
            f"{CONTROL_PERIOD} s"
        )


def sample_goals(
    task: str,
    seed: int,
    episodes: NDArray[np.integer],
    numbers: NDArray[np.integer],
    context: "GoalContext",
) -> Array:
    """Samples the next goals of K episodes: orientations (K, 4) in the hand frame.

    With hinges (K, 4 + H): also their angles, which only count in `rotate-face`; goals of the other
    tasks have the current ones.

    The random numbers depend on (seed, episode, number) only. Of a symmetric object's equivalent
    goals, the one nearest to its current orientation is returned.

    Args:
        task: one of `TASKS`.
        seed: seed of the environment.
        episodes: numbers of the episodes (K,).
        numbers: goals that each has reached (K,).
        context: orientations, symmetry and the curriculum's angle.

    Raises:
        InputError: by its symmetry, the object is always at a goal of the task.
    """
    rngs = [
        np.random.default_rng([seed, int(episode), int(number), GOAL_STREAM])
        for episode, number in zip(episodes, numbers, strict=True)
    ]
    if task == ROTATE_FACE:
        return np.stack([
            face_goal(rng, context.current[i], context.hinges[i], context.articulation,
                      context.max_angle, SUCCESS_ANGLE)
            for i, rng in enumerate(rngs)
        ])  # fmt: skip
    sampled = np.empty((len(rngs), 4))
    left = np.arange(len(rngs))
    for _ in range(MAX_SAMPLES):
        current = context.current[left]
        sampled[left] = _sample(
            task, [rngs[i] for i in left], context.start[left], current, context
        )
        sampled[left] = context.symmetry.equivalent(sampled[left], current)
        left = left[geodesic_angle(sampled[left], current) <= SUCCESS_ANGLE]
        if not len(left):
            return np.concatenate([sampled, context.hinges], axis=-1)
    raise InputError(
        f"task {task} has no goal for this object: by its symmetry, all of them are within "
        f"{SUCCESS_ANGLE} rad of its orientation; choose another --task, such as reorient"
    )


@dataclass(frozen=True, eq=False)
class GoalContext:
    """State that goals depend on, besides the random numbers."""

    start: Array
    """The objects' orientations (K, 4) at the start of the episodes."""
    current: Array
    """The objects' current orientations (K, 4); a goal within `SUCCESS_ANGLE` is sampled again."""
    max_angle: float = np.pi
    """Curriculum of `reorient` and `rotate-face`: largest angle in radians between current
    orientation, or face, and goal."""
    symmetry: SymmetryGroup = NO_SYMMETRY
    """The object's symmetry."""
    articulation: Articulation = RIGID
    """The object's hinges."""
    angles: Array | None = None
    """The hinges' current angles (K, H); None: there are none."""

    @property
    def hinges(self) -> Array:
        """The hinges' current angles (K, H)."""
        return np.zeros((len(self.current), 0)) if self.angles is None else self.angles


def goal_errors(task: str, goals: Array, quats: Array, angles: Array) -> tuple[Array, Array]:
    """Angles (B,) between orientations and goals, and norms (B,) of the errors of hinges.

    Args:
        task: the task; in others than `ROTATE_FACE`, angles of hinges do not count.
        goals: goals (B, 4 + H).
        quats: orientations (B, 4).
        angles: angles (B, H) of hinges.
    """
    angle = geodesic_angle(quats, goals[:, :4])
    if task != ROTATE_FACE:
        return angle, np.zeros_like(angle)
    return angle, np.linalg.norm(wrap_angle(goals[:, 4:] - angles), axis=-1)


def _sample(
    task: str, rngs: list[np.random.Generator], start: Array, current: Array, context: GoalContext
) -> Array:
    if task == "reorient" and context.max_angle >= np.pi:
        return quat_canonical(np.stack([rng.standard_normal(4) for rng in rngs]))
    if task == "reorient":
        axis = np.stack([rng.standard_normal(3) for rng in rngs])
        largest = max(context.max_angle, SUCCESS_ANGLE + 0.05)
        angle = np.array([rng.uniform(SUCCESS_ANGLE, largest) for rng in rngs])
        return quat_canonical(quat_multiply(quat_from_axis_angle(axis, angle), current))
    yaw = yaw_quat(np.array([rng.uniform(-np.pi, np.pi) for rng in rngs]))
    if task == "spin":
        return quat_canonical(quat_multiply(yaw, upright(start)))
    face = np.stack([CUBE_ROTATIONS[rng.integers(len(CUBE_ROTATIONS))] for rng in rngs])
    return quat_canonical(quat_multiply(yaw, face))


def upright(quat: Array) -> Array:
    """The orientations (K, 4) nearest to `quat` (K, 4) with one of the object's axes vertical."""
    vertical = quat_to_matrix(quat)[:, 2]
    rows = np.arange(len(quat))
    axis = np.abs(vertical).argmax(axis=-1)
    direction = quat_rotate(quat, np.eye(3)[axis] * np.sign(vertical[rows, axis])[:, None])
    # direction × z, the axis of the upright rotation; its length is the sine of the angle.
    tilt = direction[:, [1, 0, 2]] * [1.0, -1.0, 0.0]
    angle = np.arctan2(np.linalg.norm(tilt, axis=-1), direction[:, 2])
    return quat_canonical(quat_multiply(quat_from_axis_angle(tilt, angle), quat))
