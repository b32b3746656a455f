"""Whether a track of poses carries out a program."""

import numpy as np
from numpy.typing import NDArray

from opendactyl.geometry.rotation import Array, quat_multiply, quat_rotate, yaw_quat
from opendactyl.policy.imitation.programs import FACES, Action, Program

TOLERANCE = 0.4
"""Largest angle to a goal, in radians: that of a goal of the policy."""
HOLD = 5
"""Consecutive poses within the tolerance, 80 ms apart: about 0.4 s."""


def satisfied(program: Program, track: Array) -> bool:
    """Whether orientations (T, 4), one every 80 ms, carry out a program and end with its last goal.

    There must be waypoints in order, the first the start, each of which has held the goal of its
    action for `HOLD` poses. The goal is relative to the waypoints before, wherever exactly they
    were. What happens between waypoints does not count.
    """
    return bool(_pairs(program, track)[-1][:, -1].any())


def completed(program: Program, track: Array) -> int:
    """The number of actions that the track has carried out at some time, in order."""
    return sum(bool(pairs.any()) for pairs in _pairs(program, track)[1:])


def waypoints(program: Program, track: Array) -> NDArray[np.int64] | None:
    """Indices (K + 1,) of the start and of the last poses at each goal; None if there are none."""
    pairs = _pairs(program, track)
    if not pairs[-1][:, -1].any():
        return None
    found = [len(track) - 1]
    for number in range(len(program.actions), 0, -1):
        later = found[0]
        candidates = pairs[number][:, later].copy()
        if number < len(program.actions) and program.actions[number].kind == "back":
            # The goal that followed lies at the waypoint before this one.
            candidates &= _held(_near(track, track))[:, found[1]]
        found.insert(0, int(np.flatnonzero(candidates)[-1]))
    return np.array(found)


def _pairs(program: Program, track: Array) -> list[NDArray[np.bool_]]:
    """For each number of actions, the possible (T, T) pairs of the last two waypoints."""
    length = len(track)
    later = np.triu(np.ones((length, length), dtype=bool))
    pairs = np.zeros((length, length), dtype=bool)
    pairs[0, 0] = True
    found = [pairs]
    for action in program.actions:
        if action.kind == "back":
            # OR over the waypoint before the last: where it and the new one agree.
            agree = _held(_near(track, track))
            reached = np.asarray(pairs.T.astype(np.float32) @ agree.astype(np.float32) > 0)
        else:
            reached = np.asarray(pairs.any(axis=0))[:, None] & _held(_at_goal(action, track))
        pairs = reached & later
        found.append(pairs)
    return found


def _at_goal(action: Action, track: Array) -> NDArray[np.bool_]:
    """Whether each pose is at the goal from each waypoint (T or 1, T)."""
    if action.kind == "up":
        upward = quat_rotate(track, FACES[action.face])[None, :, 2]
        return np.asarray(upward > np.cos(TOLERANCE))
    return _near(quat_multiply(yaw_quat(np.deg2rad(action.degrees)), track), track)


def _near(goals: Array, track: Array) -> NDArray[np.bool_]:
    """Whether the poses (T, 4) are within the tolerance of goals (G, 4): (G, T)."""
    return np.asarray(np.abs(goals @ track.T) > np.cos(TOLERANCE / 2))


def _held(near: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether (G, T) has been true for the last `HOLD` poses; at rest before the first."""
    held = near.copy()
    for delay in range(1, HOLD):
        held[:, delay:] &= near[:, :-delay]
    return held
