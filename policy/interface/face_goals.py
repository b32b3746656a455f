"""Goals of `rotate-face`: a face turned by 90°, or a flip of the object.

A face is a part that turns freely. The object is vertical if the axis of its upper face is, and
aligned if its faces are near multiples of 90°. From both, half of the goals turn the upper face by
±90°, the others bring a face up, with any yaw; otherwise a goal aligns the faces and brings one up.
The angle of a curriculum limits how far a face turns, and, above the success angle, how far the
object rotates: at first, goals that turn a face alternate with those that align it again.
"""

import numpy as np

from opendactyl.geometry.articulation import Articulation, wrap_angle
from opendactyl.geometry.rotation import (
    Array,
    geodesic_angle,
    quat_canonical,
    quat_conjugate,
    quat_from_axis_angle,
    quat_multiply,
    quat_rotate,
    quat_to_rotvec,
    rotvec_to_quat,
    yaw_quat,
)

QUARTER = np.pi / 2
HINGE_SUCCESS = 0.2
"""The norm of the errors of all hinges, in radians, below which a goal is reached (robogym)."""
TURNED = 0.9
"""A goal turns a face if it moves a hinge by more, in radians; aligning moves it by 45° at most."""
_LEAST = 0.1
"""A limited rotation exceeds the success angle by this, in radians."""
_UP = np.array([0.0, 0.0, 1.0])


def face_goal(
    rng: np.random.Generator,
    quat: Array,
    angles: Array,
    articulation: Articulation,
    max_angle: float,
    success_angle: float,
) -> Array:
    """A goal (4 + H): an orientation, then the angles of the hinges.

    Args:
        rng: random number generator.
        quat: current orientation (4,).
        angles: current angles (H,) of the hinges.
        articulation: the object's hinges.
        max_angle: the curriculum's angle in radians; without limit from π.
        success_angle: angle below which an orientation is reached.
    """
    outward = [_outward(articulation, number) for number in range(len(articulation.hinges))]
    directions = quat_rotate(quat, np.stack(outward))
    upper = int(np.argmax(directions[:, 2]))
    straight = quat_canonical(quat_multiply(_shortest(directions[upper], _UP), quat))
    faces = QUARTER * np.round(angles / QUARTER)
    vertical = geodesic_angle(straight, quat) < success_angle
    aligned = np.linalg.norm(angles - faces) < HINGE_SUCCESS
    if vertical and aligned and rng.random() < 0.5:
        faces[upper] += rng.choice([-1.0, 1.0]) * min(max_angle, QUARTER)
        return np.concatenate([straight, wrap_angle(faces)])
    limited = max_angle < np.pi
    goal = straight
    if not limited or (vertical and aligned):
        goal = quat
        while geodesic_angle(goal, quat) <= success_angle:
            up = _shortest(outward[rng.integers(len(outward))], _UP)
            goal = quat_canonical(quat_multiply(yaw_quat(rng.uniform(-np.pi, np.pi)), up))
    if limited:
        goal = _towards(quat, goal, max(max_angle, success_angle + _LEAST))
    return np.concatenate([goal, wrap_angle(faces)])


def turns_face(goals: Array, angles: Array) -> Array:
    """Which goals (B, 4 + H) turn a face from its current angle (B, H)."""
    moved = np.abs(wrap_angle(goals[:, 4:] - angles))
    return moved.max(axis=-1, initial=0.0) > TURNED


def _outward(articulation: Articulation, number: int) -> Array:
    """The direction (3,) of a hinge's axis that points from the object to the part."""
    hinge = articulation.hinges[number]
    centre = articulation.points[slice(*hinge.keypoints)].mean(axis=0)
    axis = np.array(hinge.axis)
    return axis if axis @ centre >= 0 else -axis


def _shortest(start: Array, end: Array) -> Array:
    """The smallest rotation (4,) that takes one unit vector to another."""
    axis = np.cross(start, end)
    if np.linalg.norm(axis) < 1e-9:
        axis = np.cross(start, np.eye(3)[np.abs(start).argmin()])
    return quat_from_axis_angle(axis, np.arctan2(np.linalg.norm(np.cross(start, end)), start @ end))


def _towards(start: Array, end: Array, limit: float) -> Array:
    """The orientation (4,) at most `limit` radians from `start` on the way to `end`."""
    way = quat_to_rotvec(quat_canonical(quat_multiply(end, quat_conjugate(start))))
    length = np.linalg.norm(way)
    if length <= limit:
        return end
    return quat_canonical(quat_multiply(rotvec_to_quat(way * limit / length), start))
