"""Randomized actuation: delays, noise, pushes, longer physics steps."""

import dataclasses

import numpy as np
import pytest

from opendactyl.policy.interface.observations import HandSize
from opendactyl.policy.randomization import actuation
from opendactyl.policy.randomization.config import PRESETS
from opendactyl.policy.randomization.rng import BLOCK, EpisodeStreams
from opendactyl.sim.hands.shipped import hand_spec

IDS = np.arange(3)
SIZE = HandSize.of(hand_spec())
HALF = np.full(20, 0.5)


def streams(count=3, seed=0):
    streams = EpisodeStreams(count, seed, SIZE)
    streams.begin(np.arange(count), np.arange(count))
    streams.advance(np.arange(count))
    return streams


def test_streams_depend_on_seed_and_episode_only():
    together, alone = EpisodeStreams(3, 7, SIZE), EpisodeStreams(1, 7, SIZE)
    together.begin(IDS, np.array([4, 5, 6]))
    alone.begin(np.array([0]), np.array([5]))
    values = []
    for step in range(2 * BLOCK + 3):
        together.advance(IDS if step % 2 else IDS[1:])
        alone.advance(np.array([0]))
        np.testing.assert_array_equal(
            together.normal("rotation", IDS[1:2]), alone.normal("rotation", np.array([0]))
        )
        values.append(alone.normal("action", np.array([0])))
    assert len(np.unique(np.concatenate(values))) == 20 * len(values)
    assert np.std(values) == pytest.approx(1, abs=0.1)


def test_delayed_actuators_act_one_action_late():
    delay = actuation.Delay(3, 20)
    delay.begin(IDS, np.zeros((3, 20)))
    late = np.zeros((3, 20), dtype=bool)
    late[1, :7] = True
    first = delay(np.full((3, 20), 1.0), IDS, {"action_delay": late})
    second = delay(np.full((3, 20), 2.0), IDS, {"action_delay": late})
    assert np.all(first[late] == 0) and np.all(first[~late] == 1)
    assert np.all(second[late] == 1) and np.all(second[~late] == 2)


def noise(**parameters):
    """Parameters of three episodes for `add_noise`."""
    neutral = {
        "action_bias": np.zeros((3, 20)), "action_scale_offset": np.zeros((3, 20)),
        "action_noise": np.zeros(3), "action_scale": np.zeros(3),
    }  # fmt: skip
    return neutral | parameters


def test_action_noise_is_a_fraction_of_the_range_and_stays_within_it():
    numbers, out = streams(), []
    for _ in range(200):
        numbers.advance(IDS)
        episode = noise(action_noise=np.array([0.05, 0.05, 0.01]))
        out.append(actuation.add_noise(np.zeros((3, 20)), HALF, 0 * HALF, IDS, numbers, episode))
    assert np.std(np.array(out)[:, :2]) == pytest.approx(0.05, rel=0.05)
    assert np.std(np.array(out)[:, 2]) == pytest.approx(0.01, rel=0.05)
    targets, episode = np.full((3, 20), 0.5), noise(action_bias=np.ones((3, 20)))
    assert np.all(actuation.add_noise(targets, HALF, 0 * HALF, IDS, numbers, episode) == 0.5)


def test_the_scale_of_actions_is_constant_in_an_episode_or_new_at_each_action():
    numbers, targets, fixed, noisy = streams(), np.full((3, 20), 0.2), [], []
    for _ in range(200):
        numbers.advance(IDS)
        for out, episode in (
            (fixed, noise(action_scale_offset=np.full((3, 20), 0.1))),
            (noisy, noise(action_scale=np.full(3, 0.1))),
        ):
            out.append(actuation.add_noise(targets, HALF, 0 * HALF, IDS, numbers, episode))
    np.testing.assert_allclose(fixed, 0.22)
    assert np.std(noisy) == pytest.approx(0.02, rel=0.05)
    assert np.mean(noisy) == pytest.approx(0.2, abs=0.002)


def test_pushes_occur_at_their_rate_and_decay():
    config = dataclasses.replace(PRESETS["dactyl"], force_scale=1.0)
    pushes, numbers = actuation.Pushes(3, config), streams()
    episode = {"force_chance": np.array([0.0, 0.1, 1.0])}
    mass, hits = np.full(3, 0.078), np.zeros(3)
    for _ in range(1000):
        before = pushes.force.copy()
        numbers.advance(IDS)
        pushes(mass, IDS, numbers, episode)
        hits += ~np.isclose(pushes.force, 0.99 * before).all(axis=1)
    assert hits[0] == 0
    assert hits[1] == pytest.approx(100, abs=30)
    assert hits[2] == 1000
    assert np.all(np.abs(pushes.force) < 5 * 0.078)


def test_physics_steps_are_extended_by_a_mean_of_exponentials():
    numbers, steps = streams(), []
    for _ in range(400):
        numbers.advance(IDS)
        steps.append(
            actuation.timestep(IDS, numbers, {"timestep_extra": np.array([0.0, 1e-4, 8e-4])})
        )
    extra = np.array(steps) - 0.008
    assert np.all(extra[:, 0] == 0) and np.all(extra[:, 1:] > 0)
    np.testing.assert_allclose(extra.mean(axis=0)[1:], [1e-4, 8e-4], rtol=0.1)
    # Ten independent exponentials averaged: a tenth of the variance.
    np.testing.assert_allclose(extra.std(axis=0)[1:], [1e-4 / 10**0.5, 8e-4 / 10**0.5], rtol=0.2)
