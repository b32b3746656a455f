"""Runs the closed loop on your own robot: cameras and a hand instead of the simulator.

    python examples/own_rig.py BUNDLE ACTIONS

Implement the two classes. The base install suffices: it has neither simulator nor torch.
"""

import json
import sys
import time
from contextlib import closing

import numpy as np
from numpy.typing import NDArray

from opendactyl.control.bundle.load import load_bundle
from opendactyl.control.runtime.goals import TaskGoals
from opendactyl.control.runtime.interfaces import HandReading, TimedViews
from opendactyl.control.runtime.pose_filter import FilteredPose
from opendactyl.control.runtime.recorded_cameras import fit
from opendactyl.control.runtime.robot_loop import RobotLoop
from opendactyl.control.runtime.timeouts import CamerasWithTimeout, HandWithTimeout
from opendactyl.control.runtime.vision_pose import VisionPose
from opendactyl.sim.hands.names import ACTUATORS, JOINTS


class MyCameras:
    """Captures synchronized images; here they are noise."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        """Open your cameras, in the order of the bundle's rig."""
        self._views, self._height, self._width, _ = shape
        self._rng = np.random.default_rng(0)

    def read(self) -> TimedViews:
        """Return one RGB image per camera, or None for one that failed. May raise any exception.

        Times are those of the capture, as the driver states them, in seconds of `perf_counter`.
        """
        times = [time.perf_counter()] * self._views
        captured = self._rng.integers(0, 256, (self._views, 480, 480, 3), dtype=np.uint8)
        return TimedViews([fit(image, self._height, self._width) for image in captured], times)

    def close(self) -> None:
        """Close your cameras."""


class MyHand:
    """Drives a hand; this one moves to its targets at once."""

    def __init__(self) -> None:
        """Connect to your hand."""
        self._joints = np.zeros(len(JOINTS))

    def read(self) -> HandReading:
        """Return joint angles (24,) in radians and fingertips (5, 3) in metres, hand frame."""
        return HandReading(self._joints.copy(), np.zeros((5, 3)), time.perf_counter())

    def command(self, targets: NDArray[np.float64]) -> None:
        """Send joint targets (20,) in radians, within the limits in the bundle."""
        self._joints[[JOINTS.index(name) for name in ACTUATORS]] = targets

    def close(self) -> None:
        """Disconnect from your hand."""


def main(path: str, actions: int) -> None:
    """Runs the loop at 12.5 Hz; calls of drivers time out after 40 ms."""
    bundle = load_bundle(path)
    cameras = CamerasWithTimeout(MyCameras(bundle.estimator.shape), 0.04)
    hand = HandWithTimeout(MyHand(), 0.04)
    source = FilteredPose(VisionPose(bundle, cameras))
    loop = RobotLoop(bundle, hand, source, TaskGoals(bundle.task, symmetry=bundle.symmetry))
    with closing(hand), closing(source):
        for status in loop.run(actions):
            if status.faults:
                print(status.number, status.state, *status.faults)
        print(json.dumps(loop.report(), indent=2))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
