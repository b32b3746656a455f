"""Goals without a network: orientations of a demonstration are replayed."""

import numpy as np

from opendactyl.control.runtime.imitated_goals import HeldGoals
from opendactyl.geometry.rotation import Array, geodesic_angle

REST_ANGLE, REST_FRAMES = 0.4, 12
"""The object rests when it stays within this angle for this many frames: about a second."""


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
