"""Inputs of the imitation network; needs numpy only.

A demonstration is reduced by temporal dropout to some keyframes (arXiv 1703.07326, section 4.2.1),
one at random of every `1 / (1 - DROPOUT)` control periods.
"""

import numpy as np

from opendactyl.geometry.rotation import Array, geodesic_angle, quat_to_matrix

FRAME_PERIOD = 0.08
"""Seconds between two frames of a demonstration before dropout."""
DROPOUT = 0.95
"""Fraction of the frames that are dropped."""
STRIDE = round(1 / (1 - DROPOUT))
"""Frames of which one is kept."""
MOTION_FRAMES = 5
"""Frames before and after a keyframe over which its motion is measured."""
MAX_KEYFRAMES = 48
"""Keyframes of the longest demonstration, 74 s; longer ones are read faster."""
STAY_ANGLE, STAY_FRAMES = 0.4, 60
"""Angle in radians within which an object stays where it is, and the longest stay that counts."""
KEYFRAME_SIZE = 15
"""Orientation matrix, `surroundings`, frames since the last keyframe, valid."""
MAX_WAYPOINTS = 7
"""Most waypoints: the start, and one after each of the at most six actions."""
WAYPOINT_SIZE = 10
"""Orientation matrix, valid."""


def resample(times: Array, quaternions: Array) -> Array:
    """The orientations (T, 4) at every `FRAME_PERIOD`, each the nearest in time.

    Args:
        times: times (N,) of the poses in seconds, increasing.
        quaternions: orientations (N, 4).
    """
    period = max(FRAME_PERIOD, (times[-1] - times[0]) / (STRIDE * (MAX_KEYFRAMES - 2)))
    grid = np.arange(times[0], times[-1] + period / 2, period)
    middles = (times[1:] + times[:-1]) / 2
    return quaternions[np.searchsorted(middles, grid)]


def keyframes(quaternions: Array, rng: np.random.Generator) -> Array:
    """The keyframes (MAX_KEYFRAMES, KEYFRAME_SIZE) of a demonstration, after temporal dropout.

    The first and the last frame are always kept. As in the demonstrations of the training, which
    are composed of motions, the first has no rotation after it, and the last none before.

    Args:
        quaternions: orientations (T, 4), one every `FRAME_PERIOD`.
        rng: chooses the frames.
    """
    last = len(quaternions) - 1
    strata = np.arange(1, MAX_KEYFRAMES - 2) * STRIDE
    chosen = strata + rng.integers(0, STRIDE, len(strata))
    chosen = np.unique(np.concatenate([[0], chosen[chosen < last], [last]]))
    around = surroundings(quaternions)[chosen]
    around[0, 1::2] = around[-1, ::2] = 0.0
    found = encode(quaternions[chosen], around, chosen)
    return np.pad(found, ((0, MAX_KEYFRAMES - len(found)), (0, 0)))


def surroundings(quaternions: Array) -> Array:
    """What a track (T, 4) does around each of its frames, (T, 4).

    Angles in radians by which the object rotates in the `MOTION_FRAMES` before and after it, then
    the frames / `STRIDE` for which it stays within `STAY_ANGLE` before and after it.
    """
    index = np.arange(len(quaternions))
    before = quaternions[np.maximum(index - MOTION_FRAMES, 0)]
    after = quaternions[np.minimum(index + MOTION_FRAMES, len(index) - 1)]
    stays, staying = np.zeros((2, len(index))), np.ones((2, len(index)), dtype=bool)
    for apart in range(1, min(STAY_FRAMES + 1, len(index))):
        dots = np.abs((quaternions[apart:] * quaternions[:-apart]).sum(axis=-1))
        near = dots > np.cos(STAY_ANGLE / 2)
        staying[0] &= np.pad(near, (apart, 0))
        staying[1] &= np.pad(near, (0, apart))
        stays += staying
    angles = geodesic_angle(before, quaternions), geodesic_angle(quaternions, after)
    return np.stack([*angles, *(stays / STRIDE)], axis=-1)


def encode(quaternions: Array, around: Array, frames: Array) -> Array:
    """The features (..., N, KEYFRAME_SIZE) of keyframes.

    Args:
        quaternions: orientations (..., N, 4).
        around: their `surroundings` (..., N, 4).
        frames: numbers (..., N) of the frames.
    """
    since = np.diff(frames, axis=-1, prepend=frames[..., :1])[..., None] / STRIDE
    matrices = quat_to_matrix(quaternions).reshape(*quaternions.shape[:-1], 9)
    return np.concatenate([matrices, around, since, np.ones_like(since)], axis=-1)


def encode_waypoints(waypoints: Array) -> Array:
    """The features (MAX_WAYPOINTS, WAYPOINT_SIZE) of waypoints (K, 4), the latest first."""
    latest = quat_to_matrix(waypoints[::-1][:MAX_WAYPOINTS]).reshape(-1, 9)
    valid = np.ones((len(latest), 1))
    found = np.concatenate([latest, valid], axis=-1)
    return np.pad(found, ((0, MAX_WAYPOINTS - len(found)), (0, 0)))
