"""Injected faults: the loop reports them, holds the hand still, and recovers."""

import dataclasses
import logging

import numpy as np
import pytest

from opendactyl.control.evaluation.fault_injection import FAULTS
from opendactyl.control.runtime.telemetry import ACTING, COASTING, HOLDING

MESSAGES = {
    "freeze": ("camera", "right is frozen"),
    "drop": ("camera", "right gave no image"),
    "black": ("camera", "right is black"),
    "nan": ("camera", "right gave values that are not finite"),
    "size": ("camera", "right gave uint8 of shape"),
    "occlude": ("camera", "right shows a single colour"),
    "jump": ("pose", "the estimate jumped by"),
    "policy": ("policy", "the policy's output is not finite"),
    "hand": ("hand", "cannot read the hand"),
}
DURATION = {"jump": 3}
"""Number of actions with the fault, if not 25: a jump that persists is accepted."""


@pytest.mark.parametrize(
    "rig", ["recurrent", pytest.param("msat", marks=pytest.mark.slow)], indirect=True
)
@pytest.mark.parametrize("fault", FAULTS)
def test_the_loop_reports_a_fault_holds_the_hand_and_recovers(rig, fault, caplog):
    patience = rig.patience
    rig.steps(5)
    rig.faults.active.add(fault)
    with caplog.at_level(logging.WARNING):
        failing = rig.steps(DURATION.get(fault, 25))
    component, message = MESSAGES[fault]
    reported = [status for status in failing if status.faults]
    assert {f.component for status in reported for f in status.faults} == {component}
    assert message in str(reported[0].faults[0])
    assert message in caplog.text
    # Logged once, not in every action.
    assert caplog.text.count(message) <= 2
    if fault == "jump":
        assert {status.state for status in reported} == {COASTING}
    elif component in ("camera", "pose"):
        states = [status.state for status in reported]
        assert states[:patience] == [COASTING] * patience
        assert set(states[patience:]) == {HOLDING}
    else:
        assert {status.state for status in reported} == {HOLDING}
    held = [status.targets for status in failing if status.state == HOLDING]
    assert all(np.array_equal(targets, held[0]) for targets in held)
    rig.faults.active.clear()
    after = rig.steps(10)
    assert after[-1].state == ACTING and not after[-1].faults
    assert not np.array_equal(after[-1].targets, failing[-1].targets)
    sent = np.array(rig.hand.sent)
    assert np.isfinite(sent).all() and (sent >= rig.low).all() and (sent <= rig.high).all()
    assert rig.loop.report()["faults"] == {component: len(reported)}


def test_each_camera_freezes_at_its_own_image(rig):
    faulty = rig.faults.cameras(rig.cameras)
    before = faulty.read()
    rig.faults.active = {"freeze"}
    for number in (0, 1, 2):
        rig.faults.view = number
        frozen = faulty.read()[number]
        assert np.array_equal(frozen, faulty.read()[number])
        if number == 0:
            assert np.array_equal(frozen, before[0])


def test_another_fault_of_the_same_component_is_logged(rig, caplog):
    rig.steps(3)
    with caplog.at_level(logging.WARNING):
        for fault in ("black", "size"):
            rig.faults.active = {fault}
            rig.steps(3)
        rig.faults.active = set()
        rig.steps(3)
    for message in ("right is black", "right gave uint8", "acting again"):
        assert caplog.text.count(message) == 1


def test_a_distant_pose_is_accepted_after_the_hand_was_disconnected(rig):
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
