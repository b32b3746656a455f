"""Times of commands from sampled targets."""

import numpy as np
import pytest

from opendactyl.policy.calibration.commands import find_commands
from opendactyl.policy.calibration.log import Log


def logged(rng, change, targets, rate, jitter=0.001, dropped=0.02):
    """A log of targets (M, 1) that change at times (M,)."""
    time = np.arange(0, change[-1] + 0.1, 1 / rate)
    time = np.sort(time + rng.normal(0, jitter, len(time)))
    time = time[rng.random(len(time)) >= dropped]
    row = np.maximum(np.searchsorted(change, time, "right") - 1, 0)
    return Log("log x", time, targets[row], np.zeros((len(time), 1)))


def test_periodic_commands_are_found_more_precisely_than_samples():
    rng = np.random.default_rng(0)
    change = 0.013 + 0.08 * np.arange(500)
    targets = rng.uniform(-1, 1, (500, 1))
    targets[100:120] = targets[100]  # held
    commands = find_commands(logged(rng, change, targets, 103))
    assert commands.period == pytest.approx(0.08, abs=1e-5)
    inside = (commands.time > 0) & (commands.time < change[-1] - 0.2)
    error = commands.time[inside] - change[np.searchsorted(change, commands.time[inside] - 0.04)]
    assert np.abs(error).max() < 0.002
    number = np.rint((commands.time[inside] - 0.013) / 0.08).astype(int)
    np.testing.assert_array_equal(commands.targets[inside], targets[number])
    assert np.all(np.diff(number) == 1)  # held targets are commanded again


def test_numbers_of_commands_are_right_over_a_long_rest():
    for seed in range(5):
        rng = np.random.default_rng(seed)
        change = 0.05 + 0.08 * np.arange(2000)
        targets = rng.uniform(-1, 1, (2000, 1))
        targets[500:1400] = targets[500]  # 72 s; the median of the gaps is off by up to 1.5 %
        commands = find_commands(logged(rng, change, targets, 100 + seed))
        assert commands.period == pytest.approx(0.08, abs=1e-5)
        late = commands.time[(commands.time > 0) & (commands.time < change[-1])]
        assert np.abs((late - 0.05 + 0.04) % 0.08 - 0.04).max() < 0.002


@pytest.mark.parametrize("rate", [33, 40, 57, 100, 203])
def test_commands_are_found_at_any_rate_that_is_allowed(rate):
    for seed in range(4):
        rng = np.random.default_rng(seed)
        change = 0.021 + 0.08 * np.arange(750)
        targets = rng.uniform(-1, 1, (750, 1))
        targets[200:260] = targets[200]
        commands = find_commands(logged(rng, change, targets, rate))
        assert commands.period == pytest.approx(0.08, abs=2e-5)
        late = commands.time[(commands.time > 0.1) & (commands.time < change[-1])]
        assert np.abs((late - 0.021 + 0.04) % 0.08 - 0.04).max() < 0.4 / rate


def test_commands_within_a_physics_step_are_thinned_to_the_last():
    time = 0.001 * np.arange(30_000)
    log = Log("log x", time, np.sin(time)[:, None], np.zeros((30_000, 1)))
    commands = find_commands(log)
    assert commands.period == 0.008 and len(commands.time) == 1 + 30 / 0.008
    np.testing.assert_allclose(commands.time[1:4], [0.007, 0.015, 0.023])
    np.testing.assert_allclose(commands.targets[1:, 0], np.sin(commands.time[1:]))


def test_joined_recordings_have_phases_of_their_own():
    rng = np.random.default_rng(3)
    logs, begin = [], 0.0
    for phase in (0.011, 0.05, 0.07):
        change = phase + 0.08 * np.arange(300)
        targets = rng.uniform(-1, 1, (300, 1))
        targets[50:80] = targets[50]
        log = logged(rng, change, targets, 100)
        logs.append((log.time + begin, log.targets, phase + begin))
        begin += log.time[-1] + 10
    time, targets = (np.concatenate([part[i] for part in logs]) for i in (0, 1))
    commands = find_commands(Log("log x", time, targets, np.zeros((len(time), 1))))
    assert commands.period == pytest.approx(0.08, abs=2e-5) and np.all(np.diff(commands.time) > 0)
    for times, _, phase in logs:
        own = commands.time[(commands.time > times[0] + 0.1) & (commands.time < times[-1])]
        assert len(own) == pytest.approx(300, abs=3)
        assert np.abs((own - phase + 0.04) % 0.08 - 0.04).max() < 0.004


def test_clocks_that_drift_are_followed():
    rng = np.random.default_rng(1)
    change = 0.0803 * np.arange(400)
    commands = find_commands(logged(rng, change, rng.uniform(-1, 1, (400, 1)), 120))
    assert commands.period == pytest.approx(0.0803, abs=1e-5)


def test_targets_of_every_sample_are_commands():
    time = np.arange(0, 5, 0.01)
    log = Log("log x", time, np.sin(time)[:, None], np.zeros((500, 1)))
    commands = find_commands(log)
    assert commands.period == pytest.approx(0.01)
    np.testing.assert_array_equal(commands.time[1:], time)
    np.testing.assert_array_equal(commands.targets[0], log.targets[0])


def test_irregular_commands_lie_between_their_samples():
    rng = np.random.default_rng(2)
    change = np.cumsum(rng.uniform(0.05, 0.4, 100))
    log = logged(rng, change, rng.uniform(-1, 1, (100, 1)), 100, jitter=0.0, dropped=0.0)
    commands = find_commands(log)
    assert np.abs(commands.time[1:] - change[1:]).max() <= 0.0051
