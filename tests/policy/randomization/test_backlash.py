"""Backlash: its rates, and the motion of the slack."""

import dataclasses

import numpy as np
import pytest

from opendactyl.policy.randomization.backlash import MIN_RATE, Backlash, along, sample_rates
from opendactyl.policy.randomization.config import PRESETS
from opendactyl.sim.hands.shipped import hand_spec
from opendactyl.sim.timing import CONTROL_PERIOD

IDS = np.arange(3)
HALF = np.full(20, 0.5)
EXPONENTS = {
    "WRJ1": (4.25, 4.25), "WRJ0": (4.25, 4.25), "FFJ3": (2.93, 4.25), "FFJ2": (4.25, 4.25),
    "FFJ1": (4.25, 1.86), "MFJ3": (4.25, 4.25), "MFJ2": (4.25, 4.25), "MFJ1": (1.92, 1.44),
    "RFJ3": (4.25, 4.25), "RFJ2": (3.35, 2.98), "RFJ1": (4.25, 2.07), "LFJ4": (4.25, 4.25),
    "LFJ3": (4.25, 4.25), "LFJ2": (3.87, 2.94), "LFJ1": (1.39, 1.41), "THJ4": (4.25, 2.82),
    "THJ3": (1.25, 1.53), "THJ2": (4.25, 4.25), "THJ1": (4.25, 2.86), "THJ0": (4.25, 2.10),
}  # fmt: skip
"""robogym's calibrated exponents downwards and upwards."""


def rates(seed, **changes):
    config = dataclasses.replace(PRESETS["dactyl"], **changes)
    return sample_rates(np.random.default_rng(seed), config, hand_spec())


def test_calibrated_rates_follow_the_formula_of_robogym():
    exponents = np.array([EXPONENTS[name.removeprefix("A_")] for name in hand_spec().actuators]).T
    jitter = 1 + 0.1 * np.random.default_rng(3).normal(size=(2, 20))
    np.testing.assert_allclose(rates(3), np.maximum(np.exp(exponents * jitter), 2.0), rtol=1e-12)
    np.testing.assert_allclose(rates(0, backlash_jitter=0.0), np.exp(exponents))
    logs = np.log([rates(seed) for seed in range(2000)])
    np.testing.assert_allclose(logs.mean(axis=0), exponents, atol=0.05)
    np.testing.assert_allclose(logs.std(axis=0), 0.1 * exponents, rtol=0.1)


def test_calibrated_rates_have_a_floor():
    drawn = np.array([rates(seed, backlash_jitter=1.0) for seed in range(50)])
    assert drawn.min() == MIN_RATE == 2.0
    assert (drawn == MIN_RATE).mean() == pytest.approx(0.2, abs=0.05)


def test_rates_of_a_range_are_log_uniform():
    ranges = {"backlash_calibrated": False, "backlash": (7.4, 70.0)}
    drawn = np.array([rates(seed, **ranges) for seed in range(200)])
    assert 7.4 <= drawn.min() < 7.5 and 69 < drawn.max() <= 70
    assert np.median(drawn) == pytest.approx((7.4 * 70.0) ** 0.5, rel=0.05)


def test_backlash_blocks_a_reversal_until_the_slack_is_taken_up():
    backlash = Backlash(3, HALF)
    backlash.begin(IDS)
    rate = np.full((3, 2, 20), 1 / CONTROL_PERIOD)
    rest, up = np.zeros((3, 20)), HALF * np.ones((3, 20))
    # A full command takes up 1 of the slack's length of 2 per action, from the middle.
    passed = [backlash(sign * up, rest, IDS, rate) for sign in (1, 1, -1, -1, -1)]
    for got, fraction in zip(passed, (0, 1, 0, 0, -1), strict=True):
        np.testing.assert_allclose(got, fraction * up, atol=1e-9)
    # Half of a command that would take up twice the remaining slack takes effect.
    backlash.begin(IDS)
    np.testing.assert_allclose(backlash(up, rest, IDS, 2 * rate), up / 2)


def test_slack_moves_by_rate_times_radians_times_the_duration_of_an_action():
    backlash = Backlash(3, np.ones(20))
    rate = np.stack([np.full((3, 20), 2.0), np.full((3, 20), 5.0)], axis=1)
    angles = np.array([[0.3], [0.3], [0.3]]) * np.ones(20)
    targets = angles + np.array([[0.5], [-0.5], [9.0]])
    backlash(targets, angles, IDS, rate)
    expected = np.array([5.0 * 0.5 * 0.08, -2.0 * 0.5 * 0.08, 1.0])
    np.testing.assert_allclose(backlash.slack, expected[:, None] * np.ones(20))
    backlash(targets[:1], angles[:1], IDS[:1], rate[:1])
    np.testing.assert_allclose(backlash.slack[0], 2 * expected[0])
    np.testing.assert_allclose(backlash.slack[1], expected[1])
    backlash.begin(IDS[:1])
    assert np.all(backlash.slack[0] == 0) and np.all(backlash.slack[1] != 0)


def test_slack_along_known_angles_is_that_of_a_simulation():
    rng = np.random.default_rng(1)
    targets, angles = rng.normal(0, 0.3, (2, 40, 3, 20))
    rate = np.exp(rng.uniform(0.5, 5, (3, 2, 20)))
    rate[0, :, :4] = 0  # without slack
    slack, applied = along(targets, angles, rate, 0.05)
    backlash = Backlash(3, np.ones(20))
    for number in range(len(targets)):
        expected = backlash(targets[number], angles[number], IDS, rate, period=0.05)
        np.testing.assert_allclose(applied[number], expected)
        np.testing.assert_allclose(slack[number], backlash.slack)


def test_rate_zero_means_no_backlash():
    targets = np.random.default_rng(0).normal(0, 0.1, (3, 20))
    out = Backlash(3, HALF)(targets, np.zeros((3, 20)), IDS, np.zeros((3, 2, 20)))
    np.testing.assert_array_equal(out, targets)
