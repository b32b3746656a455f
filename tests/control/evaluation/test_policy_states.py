"""States that a policy meets, for datasets; and the film of a run."""

import numpy as np
import pytest

from opendactyl.control.evaluation.policy_states import (
    KEPT,
    POSITION_JITTER,
    ROLLOUTS,
    ROTATION_JITTER,
    MinedStates,
    RolloutStates,
    augmented,
    badness,
)
from opendactyl.control.viewer.video import RunConfig, record_video
from opendactyl.core.errors import InputError
from opendactyl.geometry.rotation import geodesic_angle, random_quat
from opendactyl.geometry.symmetry import nearest_symmetry
from opendactyl.sim.state import State


def test_rollout_states_repeat_by_shard(bundle):
    source = RolloutStates(bundle)
    first = [s.to_dict() for s in source.states(0, 0, 6)]
    assert [s.to_dict() for s in source.states(0, 0, 6)] == first
    assert [s.to_dict() for s in source.states(0, 6, 12)] != first
    with pytest.raises(InputError, match="--object block"):
        source.check("prism")


def test_mined_states_are_the_hardest_and_repeat(bundle, monkeypatch):
    source = MinedStates(bundle)
    first = [s.to_dict() for s in source.states(0, 0, 6)]
    assert len(first) == 6
    assert [s.to_dict() for s in source.states(0, 0, 6)] == first
    # Of hands that are ever less sure, the first eight; of their equal moments the first.
    with monkeypatch.context() as patch:
        patch.setattr(
            "opendactyl.control.evaluation.policy_states.badness", lambda *_: -np.arange(ROLLOUTS)
        )
        mined = [s.to_dict() for s in source.states(0, 0, KEPT)]
    env = source._environment(np.random.default_rng([0, 0]))
    env.reset()
    assert mined == [env.state(i).to_dict() for i in range(KEPT)]
    # By degrees alone the second is worst; 9 mm count for more than 5.4 degrees.
    error_rad, error_m = np.deg2rad([0.0, 5.42, 2.71]), np.array([0.00936, 0.0, 0.00156])
    assert np.argsort(-badness(error_rad, error_m)).tolist() == [0, 1, 2]


def test_pose_augmentation_is_dactyls_twenty_forty_forty():
    rng = np.random.default_rng(0)
    state = State(np.zeros(24), np.array([0.0, 0.0, 0.02]), random_quat(rng))
    limits = np.tile([-0.01, 0.1], (24, 1))
    drawn = [augmented(state, rng, limits) for _ in range(1000)]
    same = [np.array_equal(s.quaternion, state.quaternion) for s in drawn]
    moved = [not np.array_equal(s.position, state.position) for s in drawn]
    turned = [
        not m and nearest_symmetry(s.quaternion, state.quaternion) != 0
        for s, m in zip(drawn, moved, strict=True)
    ]
    assert np.mean(moved) == pytest.approx(0.4, abs=0.05)
    for s, m in zip(drawn, moved, strict=True):
        assert (s.joints != 0).any() == m
        assert (limits[:, 0] <= s.joints).all() and (s.joints <= limits[:, 1]).all()
    # One of the 24 turns is none.
    assert np.mean(turned) == pytest.approx(0.4 * 23 / 24, abs=0.05)
    assert np.mean(same) == pytest.approx(0.2 + 0.4 / 24, abs=0.05)
    assert all(s.quaternion[0] >= 0 for s in drawn)
    jittered = [s for s, m in zip(drawn, moved, strict=True) if m]
    offsets = np.array([s.position - state.position for s in jittered])
    assert offsets.std() == pytest.approx(POSITION_JITTER, rel=0.1)
    angles = np.array([geodesic_angle(s.quaternion, state.quaternion) for s in jittered])
    assert np.sqrt(np.mean(angles**2) / 3) == pytest.approx(ROTATION_JITTER, rel=0.1)


def test_a_renderer_that_breaks_is_no_fault_of_a_camera(bundle, monkeypatch):
    def broken(self):
        raise RuntimeError("the device was lost")

    monkeypatch.setattr("opendactyl.control.evaluation.sim_adapters.SimCameras.read", broken)
    with pytest.raises(RuntimeError, match="the device was lost"):
        next(MinedStates(bundle).states(0, 0, 1))


def test_a_film_that_cannot_be_written_is_refused(bundle, tmp_path, monkeypatch):
    (tmp_path / "film.mp4").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        RunConfig(bundle=bundle, video=tmp_path / "film.mp4")

    def full(self, frame):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("imageio.plugins.pyav.PyAVPlugin.write_frame", full)
    with pytest.raises(InputError, match=r"cannot write .*a\.mp4: No space left"):
        record_video(RunConfig(bundle=bundle, seconds=0.1, video=tmp_path / "a.mp4"))
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]


def test_film(bundle, tmp_path):
    import imageio.v3 as iio

    path = record_video(RunConfig(bundle=bundle, seconds=0.4, video=tmp_path / "film.mp4"))
    frames = iio.imread(path, plugin="pyav")
    assert frames.shape == (5, 480, 640, 3)
    assert np.abs(frames[0].astype(int) - frames[-1]).max() > 20
    assert frames.std() > 20
