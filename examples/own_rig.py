"""Closes the loop on a rig of one's own: three cameras and a hand, in place of the simulator.

    python examples/own_rig.py BUNDLE ACTIONS

Fill in the two classes and keep the rest. The base install is enough: numpy, onnxruntime, Pillow.
"""

import json
import sys
from contextlib import closing

import numpy as np
from numpy.typing import NDArray

from opendactyl.control.bundle.load import load_bundle
from opendactyl.control.runtime.goals import TaskGoals
from opendactyl.control.runtime.interfaces import HandReading, Views
from opendactyl.control.runtime.pose_filter import FilteredPose
from opendactyl.control.runtime.recorded_cameras import fit
from opendactyl.control.runtime.robot_loop import RobotLoop
from opendactyl.control.runtime.timeouts import AnsweringCameras, AnsweringHand
from opendactyl.control.runtime.vision_pose import VisionPose
from opendactyl.sim.hands.names import ACTUATORS, JOINTS


class MyCameras:
    """Grabs one moment's images; here they are noise."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        """Open your cameras here, in the order of the bundle's rig."""
        self._views, self._height, self._width, _ = shape
        self._rng = np.random.default_rng(0)

    def read(self) -> Views:
        """One RGB image per camera; None for one that gave none. You may raise."""
        grabbed = self._rng.integers(0, 256, (self._views, 480, 480, 3), dtype=np.uint8)
        return [fit(image, self._height, self._width) for image in grabbed]

    def close(self) -> None:
        """Close your cameras here."""


class MyHand:
    """Moves a hand; this one only remembers where it was told to go."""

    def __init__(self) -> None:
        """Connect to your hand here."""
        self._joints = np.zeros(len(JOINTS))

    def read(self) -> HandReading:
        """Joint angles (24,) in radians, fingertips (5, 3) in metres in the hand frame."""
        return HandReading(self._joints.copy(), np.zeros((5, 3)))

    def command(self, targets: NDArray[np.float64]) -> None:
        """Joint targets (20,) in radians, within the limits that the bundle states."""
        self._joints[[JOINTS.index(name) for name in ACTUATORS]] = targets

    def close(self) -> None:
        """Let go of your hand here."""


def main(path: str, actions: int) -> None:
    """Runs the loop at 12.5 Hz; drivers that hang are waited for 40 ms."""
    bundle = load_bundle(path)
    cameras = AnsweringCameras(MyCameras(bundle.estimator.shape), 0.04)
    hand = AnsweringHand(MyHand(), 0.04)
    source = FilteredPose(VisionPose(bundle, cameras))
    loop = RobotLoop(bundle, hand, source, TaskGoals(bundle.task))
    with closing(hand), closing(source):
        for status in loop.run(actions):
            if status.faults:
                print(status.number, status.state, *status.faults)
        print(json.dumps(loop.report(), indent=2))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
