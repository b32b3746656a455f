"""What the parts of a rig gave, looked at before anything moves by it."""

import numpy as np

from opendactyl.control.runtime.interfaces import Fault, HandReading
from opendactyl.geometry.rotation import Array, quat_canonical
from opendactyl.sim.hands.names import FINGERTIPS, JOINTS
from opendactyl.vision.estimator import Pose

REACH = 0.35
"""An object is never farther from the hand frame's origin than this, in metres."""


def check_reading(reading: HandReading) -> None:
    """Takes a hand's reading for what it should be.

    Raises:
        Fault: its shapes are others, or it is not finite.
    """
    if reading.joints.shape != (len(JOINTS),) or reading.fingertips.shape != (len(FINGERTIPS), 3):
        raise Fault(
            "hand",
            f"the hand gave angles {reading.joints.shape} and fingertips "
            f"{reading.fingertips.shape}, not ({len(JOINTS)},) and ({len(FINGERTIPS)}, 3)",
        )
    if not (np.isfinite(reading.joints).all() and np.isfinite(reading.fingertips).all()):
        raise Fault("hand", "the hand gave angles that are not numbers")


def check_pose(pose: Pose) -> Pose:
    """The pose itself.

    Raises:
        Fault: it is no pose, or none that an object in the hand could have.
    """
    values = (pose.position, pose.quaternion, pose.covariance)
    if [np.shape(value) for value in values] != [(3,), (4,), (6, 6)]:
        raise Fault("pose", "the estimate has other shapes than (3,), (4,) and (6, 6)")
    if not all(np.isfinite(value).all() for value in values):
        raise Fault("pose", "the estimate is not finite")
    if abs(np.linalg.norm(pose.quaternion) - 1.0) > 0.01:
        raise Fault("pose", "the estimate is no rotation")
    distance = np.linalg.norm(pose.position)
    if distance > REACH:
        raise Fault("pose", f"the estimate is {distance:.2f} m from the hand")
    return pose


def check_goal(goal: Array) -> Array:
    """The goal (4,), with w ≥ 0.

    Raises:
        Fault: it is no rotation.
    """
    goal = np.asarray(goal, dtype=np.float64)
    if goal.shape != (4,) or not abs(np.linalg.norm(goal) - 1.0) < 0.01:
        raise Fault("goal", f"the goal {goal} is no rotation")
    return quat_canonical(goal)
