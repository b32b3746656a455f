"""Reward, success and termination of an action, for B simulations at once (D18 4.2 and C.1)."""

import numpy as np
from numpy.typing import NDArray

from opendactyl.geometry.rotation import Array
from opendactyl.policy.interface.tasks import MAX_GOALS, SUCCESS_ANGLE
from opendactyl.sim.hands.names import DROP_HEIGHT

SUCCESS_REWARD, DROP_REWARD = 5.0, -20.0
"""Per goal and per drop (D18 4.2); beside them the decrease of the angle, in radians."""
RUNNING, DROPPED, TIMED_OUT, FINISHED, DIVERGED = range(5)
"""How an episode stands, or ended."""


def success_and_termination(
    distance: Array,
    height: Array,
    goals: NDArray[np.int64],
    overdue: NDArray[np.bool_],
    diverged: NDArray[np.bool_],
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which goals were reached (B,), and how each episode stands (B,).

    Args:
        distance: angle between object and goal (B,), in radians.
        height: z of the object's centre in the hand frame (B,), in metres.
        goals: goals the episodes reached before this action (B,).
        overdue: whether the time for the present goal is over (B,).
        diverged: which simulations diverged (B,); that outweighs everything else.
    """
    reached = distance < SUCCESS_ANGLE
    outcome = np.full(len(distance), RUNNING)
    outcome[overdue] = TIMED_OUT
    outcome[reached] = RUNNING
    outcome[reached & (goals + 1 >= MAX_GOALS)] = FINISHED
    outcome[height < DROP_HEIGHT] = DROPPED
    outcome[diverged] = DIVERGED
    return reached & ((outcome == RUNNING) | (outcome == FINISHED)), outcome


def reward(
    before: Array, distance: Array, reached: NDArray[np.bool_], outcome: NDArray[np.int64]
) -> NDArray[np.float32]:
    """The reward of an action (B,): progress, goals and drops; none where the physics diverged.

    Args:
        before: angle to the goal before the action (B,), in radians.
        distance: the same after it (B,).
        reached: which goals were reached (B,).
        outcome: how each episode stands (B,).
    """
    value = before - distance + SUCCESS_REWARD * reached + DROP_REWARD * (outcome == DROPPED)
    return np.where(outcome == DIVERGED, 0.0, value).astype(np.float32)
