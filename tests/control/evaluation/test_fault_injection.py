"""Faults are named, the hand is held still, and all goes on afterwards."""

import dataclasses
import itertools
import logging
import threading
import time

import numpy as np
import pytest

from opendactyl.control.evaluation.fault_injection import FAULTS
from opendactyl.control.runtime.interfaces import HandReading
from opendactyl.control.runtime.telemetry import ACTING, COASTING, HOLDING
from opendactyl.control.runtime.timeouts import AnsweringCameras, AnsweringHand
from opendactyl.vision.estimator import Pose


class Broken:
    """A part that raises what nobody thought of, while it is told to."""

    def __init__(self, part, name):
        self.part, self.name, self.broken = part, name, True

    def __getattr__(self, name):
        def fail(*_):
            raise RuntimeError("a cable came off")

        return fail if self.broken and name == self.name else getattr(self.part, name)


SAYS = {
    "freeze": ("camera", "right is frozen"),
    "drop": ("camera", "right gave no image"),
    "black": ("camera", "right is black"),
    "nan": ("camera", "right gave values that are not numbers"),
    "size": ("camera", "right gave uint8 of shape"),
    "occlude": ("camera", "right shows one colour, as if covered"),
    "jump": ("pose", "the estimate jumped by"),
    "policy": ("policy", "the policy's output is not finite"),
    "hand": ("hand", "the hand does not answer"),
}
LASTS = {"jump": 3}
"""Actions a fault lasts here, where not long: a jump that lasts is believed in the end."""


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_the_hand_held_still_and_the_loop_recovers(rig, fault, caplog):
    patience = rig.patience
    rig.steps(5)
    rig.faults.active.add(fault)
    with caplog.at_level(logging.WARNING):
        failing = rig.steps(LASTS.get(fault, 25))
    part, words = SAYS[fault]
    named = [status for status in failing if status.faults]
    assert {f.part for status in named for f in status.faults} == {part}
    assert words in str(named[0].faults[0])
    assert words in caplog.text
    # It is said once, not at every action.
    assert caplog.text.count(words) <= 2
    if fault == "jump":
        assert {status.state for status in named} == {COASTING}
    elif part in ("camera", "pose"):
        states = [status.state for status in named]
        assert states[:patience] == [COASTING] * patience
        assert set(states[patience:]) == {HOLDING}
    else:
        assert {status.state for status in named} == {HOLDING}
    held = [status.targets for status in failing if status.state == HOLDING]
    assert all(np.array_equal(targets, held[0]) for targets in held)
    rig.faults.active.clear()
    after = rig.steps(10)
    assert after[-1].state == ACTING and not after[-1].faults
    assert not np.array_equal(after[-1].targets, failing[-1].targets)
    sent = np.array(rig.hand.sent)
    assert np.isfinite(sent).all() and (sent >= rig.low).all() and (sent <= rig.high).all()
    assert rig.loop.report()["faults"] == {part: len(named)}


def test_each_camera_freezes_at_a_picture_of_its_own(rig):
    faulty = rig.faults.cameras(rig.cameras)
    before = faulty.read()
    rig.faults.active = {"freeze"}
    for number in (0, 1, 2):
        rig.faults.view = number
        frozen = faulty.read()[number]
        assert np.array_equal(frozen, faulty.read()[number])
        if number == 0:
            assert np.array_equal(frozen, before[0])


def test_another_fault_of_the_same_part_is_said_too(rig, caplog):
    rig.steps(3)
    with caplog.at_level(logging.WARNING):
        for fault in ("black", "size"):
            rig.faults.active = {fault}
            rig.steps(3)
        rig.faults.active = set()
        rig.steps(3)
    for words in ("right is black", "right gave uint8", "acting again"):
        assert caplog.text.count(words) == 1


def test_before_the_hand_answers_nothing_is_sent(rig):
    rig.faults.active.add("hand")
    statuses = rig.steps(3)
    assert all(status.targets is None and status.state == HOLDING for status in statuses)
    assert rig.hand.sent == []
    rig.faults.active.clear()
    assert rig.steps(2)[-1].state == ACTING


def test_what_a_hand_did_not_receive_is_not_where_the_next_target_starts(rig):
    last = rig.steps(4)[-1].targets
    rig.loop.hand = Broken(rig.hand, "command")
    failing = rig.steps(6)
    assert all(np.array_equal(status.targets, last) for status in failing)
    assert {f.part for s in failing for f in s.faults} == {"hand"}
    assert "a cable came off" in str(failing[0].faults[0])


@pytest.mark.parametrize(("part", "call"), [("pose", "pose"), ("goal", "goal"), ("policy", "act")])
@pytest.mark.parametrize("before", [0, 5])
def test_whatever_a_part_raises_the_loop_outlives_it(rig, part, call, before):
    started = rig.steps(before)
    loop = rig.loop
    if part == "policy":
        bundle = loop._controller._bundle
        broken = Broken(bundle.policy, call)
        loop._controller._bundle = dataclasses.replace(bundle, policy=broken)
    else:
        name = {"pose": "source", "goal": "goals"}[part]
        broken = Broken(getattr(loop, name), call)
        setattr(loop, name, broken)
    statuses = rig.steps(rig.patience + 2)
    assert all({fault.part for fault in s.faults} == {part} for s in statuses)
    assert "a cable came off" in str(statuses[0].faults[0])
    if part != "goal" or not started:  # With a goal from before it can go on.
        assert statuses[-1].state == HOLDING
        np.testing.assert_array_equal(statuses[-1].targets, statuses[-2].targets)
    broken.broken = False
    assert {status.state for status in rig.steps(3)} == {ACTING}


class InvalidAction:
    """A pose source that gives something else, or whose own clock is broken."""

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
        InvalidAction(("no", "pose")),
        InvalidAction(Pose(np.zeros(2), np.array([1.0, 0, 0, 0]), np.eye(6))),
        InvalidAction(Pose(np.full(3, np.nan), np.array([1.0, 0, 0, 0]), np.eye(6))),
        InvalidAction(Pose(np.zeros(3), np.array([1.0, 0, 0, 0]), np.eye(6)), ValueError("clock")),
    ],
)
def test_poses_that_are_none_hold_the_hand_until_there_are_some(rig, source):
    sane, rig.loop.source = rig.loop.source, source
    status = rig.steps(2)[-1]
    assert status.state == HOLDING
    assert [fault.part for fault in status.faults] == ["pose"]
    rig.loop.source = sane
    assert rig.steps(2)[-1].state == ACTING


@pytest.mark.parametrize("goal", [np.full(4, np.nan), np.zeros(4), np.ones(3), None])
def test_a_goal_that_is_no_rotation_is_a_fault_and_not_pursued(rig, goal):
    rig.loop.goals.goal = lambda pose: goal
    status = rig.steps(2)[-1]
    assert status.state == HOLDING and status.goal is None
    assert [fault.part for fault in status.faults] == ["goal"]


@pytest.mark.parametrize(
    ("joints", "tips"), [(np.full(24, np.nan), (5, 3)), (np.zeros(23), (5, 3)), (np.zeros(24), 3)]
)
def test_readings_of_no_hand_are_faults(rig, joints, tips):
    rig.steps(1)
    rig.loop.hand.read = lambda: HandReading(joints, np.zeros(tips))
    status = rig.steps(1)[0]
    assert status.state == HOLDING
    assert "the hand gave" in str(status.faults[0])


def test_a_driver_that_hangs_is_waited_for_only_so_long(rig):
    free, read = threading.Event(), rig.hand.read
    free.set()
    rig.hand.read = lambda: read() if free.wait(10) else None
    rig.loop.hand = AnsweringHand(rig.hand, 0.1)
    assert rig.steps(1)[0].state == ACTING
    free.clear()
    began = time.monotonic()
    statuses = rig.steps(3)
    assert time.monotonic() - began < 2
    assert all("no answer" in str(status.faults[0]) for status in statuses)
    free.set()
    time.sleep(0.1)
    assert rig.steps(2)[-1].state == ACTING
    cameras = AnsweringCameras(rig.cameras, 1.0)
    assert len(cameras.read()) == 3
    cameras.close()
    assert rig.cameras.closed


def test_a_driver_that_hangs_hinders_no_end(rig, caplog):
    free = threading.Event()
    rig.hand.read = lambda: free.wait(10)
    hand = AnsweringHand(rig.hand, 0.1)
    with pytest.raises(TimeoutError):
        hand.read()
    began = time.monotonic()
    hand.close()
    assert time.monotonic() - began < 2
    assert "a driver could not be closed" in caplog.text
    free.set()


def test_a_hand_that_was_silent_may_hold_the_block_elsewhere(rig):
    rig.steps(3)
    rig.faults.active = {"hand"}
    rig.steps(12)
    rig.faults.active = set()
    estimate = rig.estimator.estimate
    rig.estimator.estimate = lambda images: dataclasses.replace(
        estimate(images), position=np.array([0.06, -0.05, 0.05])
    )
    status = rig.steps(1)[0]
    assert status.state == ACTING and not status.faults


def test_a_lost_line_to_the_hand_is_a_fault_and_no_end(rig):
    rig.steps(2)
    read = rig.hand.read

    def cut():
        raise EOFError

    rig.hand.read = cut
    statuses = list(itertools.islice(rig.loop.run(), 3))
    assert [status.state for status in statuses] == [HOLDING] * 3
    rig.hand.read = read
    assert rig.steps(2)[-1].state == ACTING
