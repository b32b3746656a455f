"""The loop of one robot: control rate, goals, restart, and the end of a recording."""

import dataclasses

import numpy as np
import pytest

from opendactyl.control.runtime.interfaces import EndOfRecording
from opendactyl.control.runtime.telemetry import ACTING
from opendactyl.geometry.rotation import geodesic_angle, quat_from_axis_angle


def test_without_faults_the_hand_moves_within_its_limits(rig):
    statuses = rig.steps(20)
    assert {status.state for status in statuses} == {ACTING}
    assert not any(status.faults for status in statuses)
    sent = np.array(rig.hand.sent)
    assert sent.shape == (20, 20)
    assert (sent >= rig.low).all() and (sent <= rig.high).all()
    assert np.abs(np.diff(sent, axis=0)).max() > 1e-3


def test_misses_are_counted_and_the_control_rate_is_kept(rig):
    slow = {3, 7}
    read = rig.hand.read

    def reading():
        if rig.loop.telemetry.actions in slow:
            rig.clock.now += 0.1
        return read()

    rig.hand.read = reading
    starts = []
    for status in rig.loop.run(10):
        starts.append(round(rig.clock.now - status.seconds, 6))
    report = rig.loop.report()
    assert report["deadline_misses"] == 2
    assert report["actions"] == 10
    assert report["period_ms"] == pytest.approx(80)
    stages = {"hand", "camera", "estimate", "wiring", "policy", "command", "total"}
    assert set(report["milliseconds"]) == stages
    assert report["milliseconds"]["total"]["p99"] >= 90
    gaps = np.diff(starts)
    # After a miss the next action starts at once, then the rate continues; no burst.
    assert sorted(set(np.round(gaps, 3))) == [0.08, 0.1]


def test_the_time_of_the_consumer_counts_and_each_run_counts_its_actions(rig):
    for number, _ in enumerate(rig.loop.run(4)):
        rig.clock.now += 0.15 * (number == 1)
    assert rig.loop.report()["deadline_misses"] == 1
    assert len(list(rig.loop.run(4))) == 4


def test_goals_are_passed_to_the_policy_with_w_not_negative(rig):
    rotated = quat_from_axis_angle([0, 0, 1.0], 1.0)
    rig.loop.goals.goal = lambda pose: -rotated
    np.testing.assert_allclose(rig.steps(1)[0].goal, rotated)


def test_a_restart_clears_pose_images_and_goals(rig):
    goal = rig.steps(3)[-1].goal
    far = np.array([0.1, 0.1, 0.1])
    estimate = rig.estimator.estimate
    rig.estimator.estimate = lambda images: dataclasses.replace(estimate(images), position=far)
    assert "jumped" in str(rig.steps(1)[0].faults[0])
    rig.loop.restart()
    status = rig.steps(1)[0]
    assert status.state == ACTING and not status.faults
    np.testing.assert_allclose(status.position, far)
    assert geodesic_angle(status.goal, goal) > 0.01
    assert rig.loop.goals.reached == 0


def test_the_end_of_a_recording_ends_the_loop(rig):
    left, read = iter(range(3)), rig.hand.read

    def recorded():
        if next(left, None) is None:
            raise EndOfRecording("end")
        return read()

    rig.hand.read = recorded
    assert len(list(rig.loop.run())) == 3
