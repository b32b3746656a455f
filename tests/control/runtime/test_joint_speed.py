"""The limit on the speed of joint targets holds whatever the policy outputs."""

import dataclasses

import numpy as np
import pytest

from opendactyl.control.bundle.load import load_bundle
from opendactyl.control.runtime.controller import Controller
from opendactyl.core.errors import InputError
from opendactyl.vision.estimator import Pose

POSE = Pose(np.array([0.0, 0.0, 0.03]), np.array([1.0, 0, 0, 0]), np.eye(6) * 1e-4)


class WildPolicy:
    """Jumps between the ends of every joint's range."""

    def __init__(self, policy):
        self.policy, self.calls = policy, 0

    def initial_memory(self, batch=1):
        return self.policy.initial_memory(batch)

    def act(self, observation, memory, tokens=None):
        self.calls += 1
        bins = np.full((len(observation), 20), 10.0 * (self.calls % 2))
        return bins, memory, np.ones(len(observation), dtype=bool)


def largest_steps(path):
    """The largest change of each target in an action (20,), in radians, and the bundle."""
    bundle = load_bundle(path, threads=1)
    bundle = dataclasses.replace(bundle, policy=WildPolicy(bundle.policy))
    controller = Controller(bundle)
    controller.start(np.zeros((1, 24)))
    which, goal = np.array([0]), np.array([[1.0, 0, 0, 0]])
    targets = [controller.targets[0]]
    for _ in range(8):
        controller.observe(0, POSE)
        targets.append(controller.act(which, np.zeros((1, 5, 3)), np.zeros((1, 24)), goal)[0])
    return np.abs(np.diff(targets, axis=0)).max(axis=0), bundle


def test_the_limit_in_the_manifest_holds_for_every_policy(copy, edit_manifest):
    limits = np.linspace(0.2, 3.0, 20)
    edit_manifest(lambda manifest: manifest.update(max_joint_speed=limits.tolist()))
    steps, bundle = largest_steps(copy)
    assert np.all(steps <= limits * bundle.period + 1e-12)
    np.testing.assert_allclose(steps[:5], limits[:5] * bundle.period)  # and is used


def test_the_default_limit_is_the_fastest_that_smoothing_allows(copy, edit_manifest):
    limited, bundle = largest_steps(copy)
    stated = np.array(bundle.manifest["max_joint_speed"]) * bundle.period
    edit_manifest(lambda manifest: manifest.pop("max_joint_speed"))
    free, _ = largest_steps(copy)
    np.testing.assert_array_equal(limited, free)
    decoder = bundle.decoder()
    allowed = (1 - decoder.config.smoothing) * (decoder.high - decoder.low)
    np.testing.assert_allclose(stated, allowed, atol=1e-4)


@pytest.mark.parametrize("wrong", [[1.0] * 19, [0.0] * 20, [-1.0] * 20, "fast"])
def test_other_limits_are_refused(copy, edit_manifest, wrong):
    edit_manifest(lambda manifest: manifest.update(max_joint_speed=wrong))
    with pytest.raises(InputError, match=r"max_joint_speed|not a valid manifest"):
        load_bundle(copy, threads=1)
