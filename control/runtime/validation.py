"""Checks of hand readings, poses and goals before the loop uses them."""

import numpy as np

from opendactyl.control.bundle.hand import HandInterface
from opendactyl.control.runtime.interfaces import Fault, HandReading
from opendactyl.geometry.rotation import Array, quat_canonical
from opendactyl.vision.estimator import Pose

MAX_DISTANCE = 0.35
"""Largest possible distance of the object from the hand frame's origin, in metres."""
MAX_AGE = 0.2
"""Default of the largest age of frames and hand readings in seconds: two and a half actions."""
_TOLERANCE = 1e-3
"""Of correlations: networks compute covariances in float32."""


def check_reading(reading: HandReading, hand: HandInterface) -> None:
    """Checks shapes and values of a reading of a hand.

    Raises:
        Fault: a shape is wrong or a value is not finite.
    """
    joints, tips = len(hand.joints), len(hand.fingertips)
    if reading.joints.shape != (joints,) or reading.fingertips.shape != (tips, 3):
        raise Fault(
            "hand",
            f"the hand returned joint angles {reading.joints.shape} and fingertips "
            f"{reading.fingertips.shape}, expected ({joints},) and ({tips}, 3)",
        )
    if not (np.isfinite(reading.joints).all() and np.isfinite(reading.fingertips).all()):
        raise Fault("hand", "the hand returned values that are not finite")
    sensed = {"touch": (reading.touch, tips), "forces": (reading.forces, len(hand.actuators))}
    for name, (values, size) in sensed.items():
        if values is not None and np.shape(values) != (size,):
            raise Fault("hand", f"the hand returned {name} {np.shape(values)}, expected ({size},)")


def age_defect(captured: float, now: float, limit: float) -> str:
    """What is wrong with the age of a frame or a reading; empty if nothing is.

    Args:
        captured: its capture time in seconds.
        now: the present time of the same clock.
        limit: the largest age in seconds.
    """
    age = now - captured
    if not np.isfinite(age) or age < -limit:
        return f"has the capture time {captured:.3f} s at {now:.3f} s (is it of another clock?)"
    return f"is {age:.2f} s old, more than {limit:g} s (buffered or lagging?)" * (age > limit)


def check_pose(pose: Pose) -> Pose:
    """Returns the pose if it is valid and within reach of the hand.

    Raises:
        Fault: a shape is wrong, a value is not finite, the quaternion has not unit norm, the
            covariance is not positive semidefinite, or the object is too far away.
    """
    values = (pose.position, pose.quaternion, pose.covariance)
    if [np.shape(value) for value in values] != [(3,), (4,), (6, 6)]:
        raise Fault("pose", "the estimate's shapes are not (3,), (4,) and (6, 6)")
    angles = () if pose.hinges is None else pose.hinges
    if not all(np.isfinite(value).all() for value in (*values, angles)):
        raise Fault("pose", "the estimate is not finite")
    norm = float(np.linalg.norm(pose.quaternion))
    if abs(norm - 1.0) > 0.01:
        raise Fault("pose", f"the estimate's quaternion has norm {norm:.2f}, expected 1")
    if not _is_covariance(pose.covariance):
        raise Fault("pose", "the estimate's covariance is not positive semidefinite")
    distance = np.linalg.norm(pose.position)
    if distance > MAX_DISTANCE:
        raise Fault("pose", f"the estimate is {distance:.2f} m from the hand")
    return pose


def _is_covariance(matrix: Array) -> bool:
    """Whether a matrix (6, 6) is symmetric and positive semidefinite, tested as a correlation."""
    variance = np.diag(matrix)
    scale = np.sqrt(np.maximum(variance, 1e-18))
    correlation = matrix / np.outer(scale, scale)
    return bool(
        (variance >= 0).all()
        and np.allclose(correlation, correlation.T, rtol=0.0, atol=_TOLERANCE)
        and np.linalg.eigvalsh(correlation)[0] >= -_TOLERANCE
    )


def check_goal(goal: Array, hinges: int = 0) -> Array:
    """Returns the goal (4 + H,), a quaternion with w ≥ 0 and angles of hinges.

    Raises:
        Fault: it does not begin with a unit quaternion, or has another number of angles.
    """
    goal = np.asarray(goal, dtype=np.float64)
    if goal.shape != (4 + hinges,) or not abs(np.linalg.norm(goal[:4]) - 1.0) < 0.01:
        angles = f", then {hinges} angles" if hinges else ""
        raise Fault("goal", f"the goal must be a unit quaternion (4,){angles}, got {goal}")
    return np.concatenate([quat_canonical(goal[:4]), goal[4:]])
