"""States from rollouts for datasets."""

from pathlib import Path

import numpy as np
import pytest

from opendactyl.control.evaluation import policy_states
from opendactyl.control.evaluation.policy_states import (
    POSITION_JITTER,
    ROTATION_JITTER,
    MinedStates,
    RolloutStates,
    augmented,
    combined_error,
    possible,
)
from opendactyl.core.errors import EnvironmentFailure, InputError
from opendactyl.geometry.rotation import geodesic_angle, random_quat
from opendactyl.geometry.symmetry import nearest_symmetry
from opendactyl.sim.scene import load_scene
from opendactyl.sim.state import State


def test_rollout_states_repeat_by_shard(bundle):
    source = RolloutStates(bundle)
    first = [s.to_dict() for s in source.states(0, 0, 6)]
    assert [s.to_dict() for s in source.states(0, 0, 6)] == first
    assert [s.to_dict() for s in source.states(0, 6, 12)] != first
    with pytest.raises(InputError, match="--object block"):
        source.check("prism")


def test_mined_states_are_the_hardest_and_repeat(bundle, monkeypatch):
    monkeypatch.setattr(policy_states, "ROLLOUTS", 4)
    monkeypatch.setattr(policy_states, "KEPT", 2)
    source = MinedStates(bundle)
    first = [s.to_dict() for s in source.states(0, 0, 2)]
    assert len(first) == 2
    assert [s.to_dict() for s in source.states(0, 0, 2)] == first
    # Errors decrease with the hand's index and are constant in time: the first two hands, each
    # at its first state.
    with monkeypatch.context() as patch:
        patch.setattr(
            "opendactyl.control.evaluation.policy_states.combined_error",
            lambda *_: -np.arange(4),
        )
        mined = [s.to_dict() for s in source.states(0, 0, 2)]
    env = source._environment(np.random.default_rng([0, 0]))
    env.reset()
    assert mined == [env.state(i).to_dict() for i in range(2)]
    # The second has the largest rotation error, but 9 mm count for more than 5.4 degrees.
    error_rad, error_m = np.deg2rad([0.0, 5.42, 2.71]), np.array([0.00936, 0.0, 0.00156])
    assert np.argsort(-combined_error(error_rad, error_m)).tolist() == [0, 1, 2]


def test_augmented_states_are_possible():
    scene = load_scene("block", str(Path(__file__).parents[2] / "hands/gripper.toml"))
    state = State(np.array([0.5, 0.0, -0.3, 0.0]), np.zeros(3), np.array([1.0, 0, 0, 0]))
    np.testing.assert_allclose(possible(scene, state).joints, [0.5, 0.5, -0.3, -0.14])


def test_pose_augmentation_is_dactyls_twenty_forty_forty():
    rng = np.random.default_rng(0)
    state = State(np.zeros(24), np.array([0.0, 0.0, 0.02]), random_quat(rng))
    limits = np.tile([-0.01, 0.1], (24, 1))
    states = [augmented(state, rng, limits) for _ in range(1000)]
    same = [np.array_equal(s.quaternion, state.quaternion) for s in states]
    moved = [not np.array_equal(s.position, state.position) for s in states]
    rotated = [
        not m and nearest_symmetry(s.quaternion, state.quaternion) != 0
        for s, m in zip(states, moved, strict=True)
    ]
    assert np.mean(moved) == pytest.approx(0.4, abs=0.05)
    for s, m in zip(states, moved, strict=True):
        assert (s.joints != 0).any() == m
        assert (limits[:, 0] <= s.joints).all() and (s.joints <= limits[:, 1]).all()
    # One of the 24 rotations is the identity.
    assert np.mean(rotated) == pytest.approx(0.4 * 23 / 24, abs=0.05)
    assert np.mean(same) == pytest.approx(0.2 + 0.4 / 24, abs=0.05)
    assert all(s.quaternion[0] >= 0 for s in states)
    jittered = [s for s, m in zip(states, moved, strict=True) if m]
    offsets = np.array([s.position - state.position for s in jittered])
    assert offsets.std() == pytest.approx(POSITION_JITTER, rel=0.1)
    angles = np.array([geodesic_angle(s.quaternion, state.quaternion) for s in jittered])
    assert np.sqrt(np.mean(angles**2) / 3) == pytest.approx(ROTATION_JITTER, rel=0.1)


def test_a_renderer_that_fails_is_a_failure_of_the_environment(bundle, monkeypatch):
    def broken(self):
        raise RuntimeError("the device was lost")

    monkeypatch.setattr("opendactyl.control.evaluation.sim_adapters.SimCameras.read", broken)
    with pytest.raises(
        EnvironmentFailure, match=r"renderer failed .*the device was lost"
    ) as raised:
        next(MinedStates(bundle).states(0, 0, 1))
    assert isinstance(raised.value.__cause__, RuntimeError)

    def wrong(self):
        raise TypeError("a fault of OpenDactyl")

    monkeypatch.setattr("opendactyl.control.evaluation.sim_adapters.SimCameras.read", wrong)
    with pytest.raises(TypeError, match="a fault of OpenDactyl"):
        next(MinedStates(bundle).states(0, 0, 1))
