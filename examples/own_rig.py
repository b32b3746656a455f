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

from opendactyl.control import (
    CamerasWithTimeout,
    FilteredPose,
    HandInterface,
    HandReading,
    HandWithTimeout,
    RobotLoop,
    TaskGoals,
    TimedViews,
    VisionPose,
    load_bundle,
)
from opendactyl.geometry import Rig


class MyCameras:
    """Captures synchronized frames; here they are coarse noise."""

    def __init__(self, rig: Rig) -> None:
        """Open your cameras, in the order of the rig."""
        self._sizes = [(camera.height, camera.width) for camera in rig.cameras]
        self._rng = np.random.default_rng(0)

    def read(self) -> TimedViews:
        """Return RGB frames, None for one that failed, and capture times. May raise anything."""
        frames: list[NDArray[np.uint8] | None] = []
        for height, width in self._sizes:
            coarse = self._rng.integers(0, 256, (height // 16 + 1, width // 16 + 1, 3), np.uint8)
            frames.append(coarse.repeat(16, axis=0).repeat(16, axis=1)[:height, :width])
        return TimedViews(frames, [time.perf_counter()] * len(frames))

    def close(self) -> None:
        """Close your cameras."""


class MyHand:
    """Drives a hand; this one moves to its targets at once."""

    def __init__(self, interface: HandInterface) -> None:
        """Connect to your hand; the bundle gives the orders of joints and actuators."""
        self._interface = interface
        self._joints = np.zeros(len(interface.joints))

    def read(self) -> HandReading:
        """Return joint angles (J,) in radians and fingertips (F, 3) in metres, hand frame."""
        fingertips = np.zeros((len(self._interface.fingertips), 3))
        return HandReading(self._joints.copy(), fingertips, time.perf_counter())

    def command(self, targets: NDArray[np.float64]) -> None:
        """Send joint targets (A,) in radians, within the limits in the bundle."""
        self._joints = self._interface.weights.T @ targets

    def close(self) -> None:
        """Disconnect from your hand."""


def main(path: str, actions: int) -> None:
    """Runs the loop at 12.5 Hz; calls of drivers time out after 40 ms."""
    bundle = load_bundle(path)
    raw = bundle.raw_rig is not None  # else the cameras give the network's images
    cameras = CamerasWithTimeout(MyCameras(bundle.raw_rig or bundle.rig), 0.04)
    hand = HandWithTimeout(MyHand(bundle.hand), 0.04)
    source = FilteredPose(VisionPose(bundle, cameras, raw=raw))
    loop = RobotLoop(bundle, hand, source, TaskGoals.of(bundle))
    with closing(hand), closing(source):
        for status in loop.run(actions):
            if status.faults:
                print(status.number, status.state, *status.faults)
        print(json.dumps(loop.report(), indent=2))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
