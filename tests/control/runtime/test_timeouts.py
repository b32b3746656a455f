"""Drivers that hang."""

import threading
import time

import pytest

from opendactyl.control.runtime.telemetry import ACTING
from opendactyl.control.runtime.timeouts import CamerasWithTimeout, HandWithTimeout


def test_a_call_of_a_driver_that_hangs_times_out(rig):
    free, read = threading.Event(), rig.hand.read
    free.set()
    rig.hand.read = lambda: read() if free.wait(10) else None
    rig.loop.hand = HandWithTimeout(rig.hand, 0.1)
    assert rig.steps(1)[0].state == ACTING
    free.clear()
    began = time.monotonic()
    statuses = rig.steps(3)
    assert time.monotonic() - began < 2
    assert all("TimeoutError" in str(status.faults[0]) for status in statuses)
    free.set()
    time.sleep(0.1)
    assert rig.steps(2)[-1].state == ACTING
    cameras = CamerasWithTimeout(rig.cameras, 1.0)
    assert len(cameras.read()) == 3
    cameras.close()
    assert rig.cameras.closed


def test_a_driver_that_hangs_can_be_closed(rig, caplog):
    free = threading.Event()
    rig.hand.read = lambda: free.wait(10)
    hand = HandWithTimeout(rig.hand, 0.1)
    with pytest.raises(TimeoutError):
        hand.read()
    began = time.monotonic()
    hand.close()
    assert time.monotonic() - began < 2
    assert "could not close a driver" in caplog.text
    free.set()
