"""Reward, success and termination for B simulations (D18 4.2 and C.1)."""

import numpy as np
from numpy.typing import NDArray

from opendactyl.geometry.rotation import Array
from opendactyl.policy.interface.face_goals import HINGE_SUCCESS
from opendactyl.policy.interface.tasks import MAX_GOALS, SUCCESS_ANGLE

SUCCESS_REWARD, DROP_REWARD = 5.0, -20.0
"""Per goal and per drop (D18 4.2), in addition to the decrease of the angle in radians."""
RUNNING, DROPPED, TIMED_OUT, FINISHED, DIVERGED = range(5)
"""Status of an episode."""


def success_and_termination(
    distance: Array,
    height: Array,
    goals: NDArray[np.int64],
    overdue: NDArray[np.bool_],
    diverged: NDArray[np.bool_],
    *,
    drop_height: float,
    max_goals: int = MAX_GOALS,
    hinge_error: Array | float = 0.0,
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which goals were reached (B,), and the status of each episode (B,).

    Args:
        distance: angle between object and goal (B,), in radians.
        height: z of the object's centre in the hand frame (B,), in metres.
        goals: goals the episodes reached before this action (B,).
        overdue: whether the time for the current goal is over (B,).
        diverged: which simulations diverged (B,); this takes precedence.
        drop_height: height below which the object counts as dropped, in metres.
        max_goals: goals after which an episode ends.
        hinge_error: norm of the errors of the object's hinges (B,) that count, in radians.
    """
    reached = (distance < SUCCESS_ANGLE) & (np.asarray(hinge_error) < HINGE_SUCCESS)
    outcome = np.full(len(distance), RUNNING)
    outcome[overdue] = TIMED_OUT
    outcome[reached] = RUNNING
    outcome[reached & (goals + 1 >= max_goals)] = FINISHED
    outcome[height < drop_height] = DROPPED
    outcome[diverged] = DIVERGED
    return reached & ((outcome == RUNNING) | (outcome == FINISHED)), outcome


def reward(
    before: Array, distance: Array, reached: NDArray[np.bool_], outcome: NDArray[np.int64]
) -> NDArray[np.float32]:
    """The reward of an action (B,): progress, goals and drops; zero where the physics diverged.

    Args:
        before: angle to the goal before the action (B,), in radians, hinges included.
        distance: angle after it (B,).
        reached: which goals were reached (B,).
        outcome: status of each episode (B,).
    """
    value = before - distance + SUCCESS_REWARD * reached + DROP_REWARD * (outcome == DROPPED)
    return np.where(outcome == DIVERGED, 0.0, value).astype(np.float32)
