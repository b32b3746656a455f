"""Frames and hand readings that are too old are faults, even if their content changes."""

import dataclasses
from collections import deque

import numpy as np
import pytest

from opendactyl.control.bundle.load import load_bundle
from opendactyl.control.runtime.interfaces import Fault, HandReading, TimedViews
from opendactyl.control.runtime.timeouts import CamerasWithTimeout
from opendactyl.control.runtime.vision_pose import VisionPose

PERIOD = 0.08
READING = HandReading(np.zeros(24), np.zeros((5, 3)))


class BufferedCameras:
    """One camera returns frames that its driver holds in a queue of some length."""

    def __init__(self, cameras, clock, buffered):
        self.cameras, self.clock = cameras, clock
        earlier = [(cameras.read()[1], clock() - k * PERIOD) for k in range(buffered, 0, -1)]
        self.queue = deque(earlier, buffered + 1)

    def read(self):
        views = self.cameras.read()
        self.queue.append((views[1], self.clock()))
        held, captured = self.queue[0]
        return TimedViews([views[0], held, views[2]], [self.clock(), captured, self.clock()])

    def close(self):
        self.cameras.close()


def source(rig, bundle, buffered):
    loaded = dataclasses.replace(load_bundle(bundle, threads=1), estimator=rig.estimator)
    cameras = CamerasWithTimeout(BufferedCameras(rig.cameras, rig.clock, buffered), 10)
    return VisionPose(loaded, cameras, clock=rig.clock)


@pytest.mark.parametrize("buffered", [0, 1, 2, 3, 8])
def test_a_camera_that_buffers_is_a_fault_though_its_bytes_change(rig, bundle, buffered):
    rig.loop.source = source(rig, bundle, buffered)
    statuses = []
    for _ in range(12):
        statuses.append(rig.loop.step())
        rig.clock.sleep(PERIOD)
    faults = [str(fault) for status in statuses for fault in status.faults]
    # Two actions of 80 ms are within the limit of 0.2 s.
    assert len(faults) == (12 if buffered > 2 else 0)
    assert all("right is 0." in fault and "buffered or lagging" in fault for fault in faults)
    assert {fault.component for s in statuses for fault in s.faults} <= {"camera"}


def test_a_time_of_another_clock_is_a_fault(rig, bundle):
    cameras = source(rig, bundle, 0)
    rig.clock.now = 100.0
    cameras.cameras.read = lambda: TimedViews(rig.cameras.read(), [1.7e9, 100.0, float("nan")])
    with pytest.raises(
        Fault, match=r"left has the capture time .*another clock.*top has"
    ) as raised:
        cameras.pose(READING)
    assert raised.value.component == "camera"


def test_an_old_hand_reading_is_a_fault(rig):
    fresh = rig.hand.read
    rig.steps(3)
    measured = rig.clock()
    rig.hand.read = lambda: dataclasses.replace(fresh(), time=measured)
    assert not rig.loop.step().faults
    rig.clock.sleep(0.3)
    status = rig.loop.step()
    assert [fault.component for fault in status.faults] == ["hand"]
    assert "reading is 0.30 s old" in str(status.faults[0])
    assert status.state == "holding"
