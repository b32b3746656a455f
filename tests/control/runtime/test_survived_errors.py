"""The loop survives exceptions and invalid values of its components."""

import dataclasses
import itertools

import numpy as np
import pytest

from opendactyl.control.runtime.interfaces import Fault, HandReading
from opendactyl.control.runtime.telemetry import ACTING, HOLDING
from opendactyl.vision.estimator import Pose


class Broken:
    """A component with a method that raises while `broken` is set."""

    def __init__(self, component, name):
        self.component, self.name, self.broken = component, name, True

    def __getattr__(self, name):
        def fail(*_):
            raise RuntimeError("a cable came off")

        return fail if self.broken and name == self.name else getattr(self.component, name)


def test_nothing_is_sent_before_the_first_reading(rig):
    rig.faults.active.add("hand")
    statuses = rig.steps(3)
    assert all(status.targets is None and status.state == HOLDING for status in statuses)
    assert rig.hand.sent == []
    rig.faults.active.clear()
    assert rig.steps(2)[-1].state == ACTING


def test_targets_start_from_the_last_that_the_hand_received(rig):
    last = rig.steps(4)[-1].targets
    rig.loop.hand = Broken(rig.hand, "command")
    failing = rig.steps(6)
    assert all(np.array_equal(status.targets, last) for status in failing)
    assert {f.component for s in failing for f in s.faults} == {"hand"}
    assert "a cable came off" in str(failing[0].faults[0])


@pytest.mark.parametrize(
    ("component", "call"), [("pose", "pose"), ("goal", "goal"), ("policy", "act")]
)
@pytest.mark.parametrize("before", [0, 5])
def test_the_loop_survives_any_exception_of_a_component(rig, component, call, before):
    started = rig.steps(before)
    loop = rig.loop
    if component == "policy":
        bundle = loop._controller._bundle
        broken = Broken(bundle.policy, call)
        loop._controller._bundle = dataclasses.replace(bundle, policy=broken)
    else:
        name = {"pose": "source", "goal": "goals"}[component]
        broken = Broken(getattr(loop, name), call)
        setattr(loop, name, broken)
    statuses = rig.steps(rig.patience + 2)
    assert all({fault.component for fault in s.faults} == {component} for s in statuses)
    assert "a cable came off" in str(statuses[0].faults[0])
    if component != "goal" or not started:  # With an earlier goal it continues.
        assert statuses[-1].state == HOLDING
        np.testing.assert_array_equal(statuses[-1].targets, statuses[-2].targets)
    broken.broken = False
    assert {status.state for status in rig.steps(3)} == {ACTING}


class InvalidSource:
    """A pose source that returns an invalid pose, or whose durations raise."""

    def __init__(self, pose, seconds=None):
        self._pose, self._seconds = pose, seconds

    @property
    def seconds(self):
        if self._seconds is None:
            return {}
        raise self._seconds

    def pose(self, reading):
        return self._pose


@pytest.mark.parametrize(
    "source",
    [
        InvalidSource(("no", "pose")),
        InvalidSource(Pose(np.zeros(2), np.array([1.0, 0, 0, 0]), np.eye(6))),
        InvalidSource(Pose(np.full(3, np.nan), np.array([1.0, 0, 0, 0]), np.eye(6))),
        InvalidSource(Pose(np.zeros(3), np.array([1.0, 0, 0, 0]), np.eye(6)), ValueError("clock")),
    ],
)
def test_the_hand_is_held_while_poses_are_invalid(rig, source):
    valid, rig.loop.source = rig.loop.source, source
    status = rig.steps(2)[-1]
    assert status.state == HOLDING
    assert [fault.component for fault in status.faults] == ["pose"]
    rig.loop.source = valid
    assert rig.steps(2)[-1].state == ACTING


@pytest.mark.parametrize("goal", [np.full(4, np.nan), np.zeros(4), np.ones(3), None])
def test_a_goal_that_is_not_a_rotation_is_a_fault(rig, goal):
    rig.loop.goals.goal = lambda pose: goal
    status = rig.steps(2)[-1]
    assert status.state == HOLDING and status.goal is None
    assert [fault.component for fault in status.faults] == ["goal"]


@pytest.mark.parametrize(
    ("joints", "tips"), [(np.full(24, np.nan), (5, 3)), (np.zeros(23), (5, 3)), (np.zeros(24), 3)]
)
def test_invalid_readings_are_faults(rig, joints, tips):
    rig.steps(1)
    rig.loop.hand.read = lambda: HandReading(joints, np.zeros(tips))
    status = rig.steps(1)[0]
    assert status.state == HOLDING
    assert "the hand returned" in str(status.faults[0])


def test_a_lost_connection_to_the_hand_does_not_end_the_loop(rig):
    rig.steps(2)
    read = rig.hand.read

    def cut():
        raise EOFError

    rig.hand.read = cut
    statuses = list(itertools.islice(rig.loop.run(), 3))
    assert [status.state for status in statuses] == [HOLDING] * 3
    rig.hand.read = read
    assert rig.steps(2)[-1].state == ACTING


def tracebacks(caplog):
    return [record for record in caplog.records if record.exc_info]


def test_the_traceback_of_each_kind_of_exception_is_logged_once(rig, caplog):
    def unplugged(*_):
        raise RuntimeError("a cable came off")

    def invalid(*_):
        raise ValueError("bad checksum")

    rig.steps(2)
    rig.loop.hand = Broken(rig.hand, "read")
    rig.steps(5)
    (record,) = tracebacks(caplog)
    assert "test_survived_errors.py" in caplog.text and "in fail" in caplog.text
    assert record.exc_info[0] is RuntimeError
    rig.loop.hand = rig.hand
    rig.estimator.estimate = unplugged  # the same type from another line
    rig.steps(5)
    rig.estimator.estimate = invalid
    rig.steps(5)
    rig.estimator.estimate = unplugged
    rig.steps(5)
    assert [r.exc_info[0] for r in tracebacks(caplog)] == [RuntimeError, RuntimeError, ValueError]


def test_the_traceback_of_a_camera_driver_is_logged_and_that_of_an_expected_fault_is_not(
    rig, caplog
):
    rig.cameras.read = lambda: [None, None, None]
    rig.steps(3)
    assert "gave no image" in caplog.text and not tracebacks(caplog)

    def unplugged():
        raise OSError("no such device")

    rig.cameras.read = unplugged
    status = rig.steps(3)[-1]
    assert isinstance(status.faults[0], Fault) and status.faults[0].component == "camera"
    (record,) = tracebacks(caplog)
    assert record.exc_info[0] is OSError and "in unplugged" in caplog.text
