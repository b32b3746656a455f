"""What an imitation network is compared with, and what all of them are shown."""

from dataclasses import dataclass

import numpy as np

from opendactyl.control.bundle.imitation_session import ImitationSession
from opendactyl.control.imitation.demonstrator import OracleGoals
from opendactyl.control.runtime.imitated_goals import HeldGoals, ImitatedGoals
from opendactyl.control.runtime.interfaces import EndingGoals
from opendactyl.geometry.rotation import Array, geodesic_angle
from opendactyl.policy.imitation.programs import Program

AGENTS = {
    "network": "imitation network",
    "oracle": "oracle, which has the program",
    "replay": "replay of the orientations at rest, found by a detector",
    "waypoints": "replay of the orientations at the goals, which it is told",
    "last": "network, last state only",
}
ORACLE_REACHED = 0.3
"""The angle at which the oracle's goals count as reached, in radians: of 200 development episodes
1.00 succeeded with it, 0.965 with 0.25."""
REST_ANGLE, REST_FRAMES = 0.4, 12
"""The object rests when it stays within this angle for this many frames: about a second."""


@dataclass(frozen=True, eq=False)
class Shown:
    """A demonstration as it was seen."""

    observed: Array
    """Orientations (T, 4)."""
    waypoints: Array
    """Those (K + 1, 4) at which goals were reached, the start first."""


def resting_orientations(track: Array) -> Array:
    """The orientations (K, 4) at which the object rests in a track (T, 4), without the start."""
    found, first = [], 0
    for frame in range(1, len(track) + 1):
        middle = track[(first + frame - 1) // 2]
        moves = frame == len(track) or geodesic_angle(track[frame], middle) > REST_ANGLE
        if moves and frame - first >= REST_FRAMES:
            found.append(track[(first + frame - 1) // 2])
        if moves:
            first = frame
    if len(found) > 1 and geodesic_angle(found[0], track[0]) < REST_ANGLE:
        found = found[1:]
    return np.array(found or [track[-1]])


class ReplayedGoals(HeldGoals):
    """Replays orientations of a demonstration."""

    def __init__(self, orientations: Array) -> None:
        """Takes the orientations (K, 4), without the start."""
        self._orientations = orientations
        super().__init__()

    def _next(self, waypoints: Array) -> Array | None:
        number = len(waypoints) - 1
        return self._orientations[number] if number < len(self._orientations) else None


def goals_of(
    agent: str, networks: dict[str, ImitationSession], program: Program, seen: Shown
) -> EndingGoals:
    """The goals of an agent of `AGENTS` after a demonstration of a program."""
    track = seen.observed
    if agent == "oracle":
        return OracleGoals(program, ORACLE_REACHED)
    if agent == "replay":
        return ReplayedGoals(resting_orientations(track))
    if agent == "waypoints":
        return ReplayedGoals(seen.waypoints[1:])
    return ImitatedGoals(networks[agent], track[-1:] if agent == "last" else track)
