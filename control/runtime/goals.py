"""The goals of a task, as a robot can judge them: on the pose it believes in."""

import numpy as np

from opendactyl.geometry.rotation import Array, geodesic_angle
from opendactyl.policy.interface.tasks import SUCCESS_ANGLE, GoalContext, check_task, goals
from opendactyl.vision.estimator import Pose


class TaskGoals:
    """Draws the next goal of a task whenever the present one is reached."""

    def __init__(self, task: str, seed: int = 0, episode: int = 0) -> None:
        """The goals of an episode, the same for the same numbers.

        Raises:
            InputError: there is no such task.
        """
        check_task(task)
        self._task, self._seed, self._episode = task, seed, episode
        self._begin()

    @property
    def reached(self) -> int:
        """Goals reached so far."""
        return self._reached

    def goal(self, pose: Pose) -> Array:
        """The goal (4,); the next one if `pose` has reached it."""
        if self._start is None:
            self._draw(pose, pose.quaternion.copy())
        elif geodesic_angle(pose.quaternion, self._goal) < SUCCESS_ANGLE:
            self._reached += 1
            self._draw(pose, self._start)
        return self._goal

    def restart(self) -> None:
        """Starts the goals of the next episode, from the orientation that is seen next."""
        self._episode += 1
        self._begin()

    def _begin(self) -> None:
        self._start: Array | None = None
        self._goal: Array = np.array([1.0, 0.0, 0.0, 0.0])
        self._reached = 0

    def _draw(self, pose: Pose, start: Array) -> None:
        context = GoalContext(start[None], pose.quaternion[None])
        episode, number = np.array([self._episode]), np.array([self._reached])
        self._goal = goals(self._task, self._seed, episode, number, context)[0]
        self._start = start
