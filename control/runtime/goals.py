"""Goals of a task on a robot, where success is measured on the estimated pose."""

from typing import Self

import numpy as np

from opendactyl.control.bundle.load import Bundle
from opendactyl.control.bundle.manifest import articulation_of
from opendactyl.geometry.articulation import Articulation
from opendactyl.geometry.rotation import Array
from opendactyl.geometry.symmetry import NO_SYMMETRY, SymmetryGroup
from opendactyl.policy.interface.face_goals import HINGE_SUCCESS
from opendactyl.policy.interface.tasks import (
    RIGID,
    SUCCESS_ANGLE,
    GoalContext,
    check_task_of,
    goal_errors,
    sample_goals,
)
from opendactyl.vision.estimator import Pose


class TaskGoals:
    """Samples the next goal of a task each time the current one is reached."""

    def __init__(
        self,
        task: str,
        seed: int = 0,
        episode: int = 0,
        symmetry: SymmetryGroup = NO_SYMMETRY,
        articulation: Articulation = RIGID,
    ) -> None:
        """The goals depend on task, seed and episode number only.

        Args:
            task: one of `TASKS`.
            seed: random seed.
            episode: number of the first episode.
            symmetry: the object's, `Bundle.symmetry`: a goal is as good as its equivalents.
            articulation: the object's hinges.

        Raises:
            InputError: unknown task, or one that has no goals for such an object.
        """
        check_task_of(task, "", articulation.hinges, symmetry)
        self._articulation = articulation
        self._task, self._seed, self._episode = task, seed, episode
        self._symmetry = symmetry
        self._reset()

    @classmethod
    def of(cls, bundle: Bundle, seed: int = 0) -> Self:
        """The goals of a bundle's task, for its object.

        Raises:
            InputError: the task has no goals for such an object.
        """
        articulation = articulation_of(bundle.manifest) or RIGID
        return cls(bundle.task, seed, symmetry=bundle.symmetry, articulation=articulation)

    @property
    def reached(self) -> int:
        """Number of goals reached so far."""
        return self._reached

    def goal(self, pose: Pose) -> Array:
        """Returns the goal (4 + H,); the next one if `pose` has reached it."""
        if self._start is None:
            self._sample(pose, pose.quaternion.copy())
        elif self._has_reached(pose):
            self._reached += 1
            self._sample(pose, self._start)
        return self._goal

    def _has_reached(self, pose: Pose) -> bool:
        if self._symmetry.angle(pose.quaternion, self._goal[:4]) >= SUCCESS_ANGLE:
            return False
        if pose.hinges is None:
            return True
        _, turn = goal_errors(
            self._task, self._goal[None], pose.quaternion[None], pose.hinges[None]
        )
        return bool(turn[0] < HINGE_SUCCESS)

    def restart(self) -> None:
        """Starts the next episode; its first pose is that of the next call to `goal`."""
        self._episode += 1
        self._reset()

    def _reset(self) -> None:
        self._start: Array | None = None
        self._goal: Array = np.array([1.0, 0.0, 0.0, 0.0])
        self._reached = 0

    def _sample(self, pose: Pose, start: Array) -> None:
        hinges = None if pose.hinges is None else pose.hinges[None]
        context = GoalContext(
            start[None], pose.quaternion[None], np.pi, self._symmetry, self._articulation, hinges
        )
        episode, number = np.array([self._episode]), np.array([self._reached])
        self._goal = sample_goals(self._task, self._seed, episode, number, context)[0]
        self._start = start
