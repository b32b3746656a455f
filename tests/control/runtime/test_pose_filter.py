"""The filter: more accurate than single estimates, and robust to jumps."""

from pathlib import Path

import numpy as np
import pytest

from opendactyl.control.bundle.load import load_bundle
from opendactyl.control.evaluation.batched_loop import BatchedLoop
from opendactyl.control.evaluation.episodes import EpisodeConfig, make_env, make_source
from opendactyl.control.runtime.interfaces import Fault, HandReading
from opendactyl.control.runtime.pose_filter import FilterConfig, FilteredPose
from opendactyl.geometry.rotation import (
    geodesic_angle,
    quat_from_axis_angle,
    quat_multiply,
    quat_to_rotvec,
    rotvec_to_quat,
)
from opendactyl.vision.estimator import Pose

SHIPPED = Path(__file__).parents[3] / "pretrained"
READING = HandReading(np.zeros(24), np.zeros((5, 3)))
CALM = FilterConfig(position_walk=0.001, rotation_walk=0.03)


class Script:
    """Returns or raises the given items one after the other."""

    def __init__(self, poses):
        self.poses = iter(poses)
        self.seconds = {}

    def pose(self, reading):
        pose = next(self.poses)
        if isinstance(pose, Exception):
            raise pose
        return pose

    def skip(self):
        pass

    def restart(self):
        pass

    def close(self):
        pass


def noisy(rng, position, quaternion, position_std, rotation_std):
    rotation = rotvec_to_quat(rng.normal(0, rotation_std, 3))
    covariance = np.diag([position_std**2] * 3 + [rotation_std**2] * 3)
    return Pose(
        position + rng.normal(0, position_std, 3), quat_multiply(rotation, quaternion), covariance
    )


def truth(count, rate=0.02):
    for k in range(count):
        yield np.array([0.0, 0.0001 * k, 0.03]), quat_from_axis_angle([0.3, 1, 0.2], rate * k)


def test_filtered_poses_are_more_accurate_than_the_estimates():
    rng = np.random.default_rng(0)
    path = list(truth(300))
    estimates = [noisy(rng, *moment, 0.006, 0.15) for moment in path]
    fused = FilteredPose(Script(estimates), CALM)
    poses = [fused.pose(READING) for _ in path]

    def errors(poses):
        pairs = list(zip(poses, path, strict=True))
        rotation = np.mean([geodesic_angle(pose.quaternion, q) for pose, (_, q) in pairs])
        return rotation, np.mean([np.linalg.norm(pose.position - x) for pose, (x, _) in pairs])

    raw, better = errors(estimates), errors(poses)
    assert better[0] < 0.7 * raw[0]
    assert better[1] < 0.7 * raw[1]
    # Its covariance agrees with its error within a factor of two.
    own = np.sqrt(poses[-1].covariance[3, 3])
    assert 0.5 < better[0] / (1.6 * own) < 2


def test_an_uncertain_estimate_has_little_weight():
    certain = Pose(np.zeros(3), np.array([1.0, 0, 0, 0]), np.eye(6) * 1e-6)
    rotated = quat_from_axis_angle([0, 0, 1], 0.6)
    vague = Pose(np.full(3, 0.02), rotated, np.eye(6) * 4.0)
    for other, fraction in ((vague, 0.1), (Pose(vague.position, rotated, np.eye(6) * 1e-3), 0.8)):
        fused = FilteredPose(Script([certain, other]), FilterConfig())
        fused.pose(READING)
        after = fused.pose(READING)
        weight = geodesic_angle(after.quaternion, certain.quaternion) / 0.6
        assert (weight < fraction) == (other is vague)


def test_a_single_jump_is_rejected_and_reported():
    rng = np.random.default_rng(0)
    here, there = np.array([1.0, 0, 0, 0]), quat_from_axis_angle([1, 0, 0], 2.0)
    steady = [noisy(rng, np.zeros(3), here, 0.002, 0.05) for _ in range(5)]
    jump = noisy(rng, np.full(3, 0.05), there, 0.002, 0.05)
    fused = FilteredPose(Script([*steady, jump, *steady]))
    for _ in steady:
        fused.pose(READING)
    with pytest.raises(Fault, match=r"jumped by \d+ mm and \d+°") as raised:
        fused.pose(READING)
    assert raised.value.component == "pose"
    assert geodesic_angle(fused.pose(READING).quaternion, here) < 0.15


def test_jumps_are_accepted_only_if_they_agree():
    rng = np.random.default_rng(0)
    here = np.array([1.0, 0, 0, 0])
    there = quat_from_axis_angle([1, 0, 0], 2.5)
    config = FilterConfig(accept_after=4)

    def rejected(poses):
        start = noisy(rng, np.zeros(3), here, 0.002, 0.05)
        fused = FilteredPose(Script([start, *poses]), config)
        fused.pose(READING)
        count = 0
        for _ in poses:
            try:
                fused.pose(READING)
            except Fault:
                count += 1
        return count

    agreeing = [noisy(rng, np.zeros(3), there, 0.002, 0.05) for _ in range(8)]
    assert rejected(agreeing) == config.accept_after - 1
    axes = np.concatenate([np.eye(3), -np.eye(3)])
    wild = [noisy(rng, np.zeros(3), quat_from_axis_angle(axis, 2.0), 0.002, 0.05) for axis in axes]
    assert rejected(wild) >= 5


def test_faults_of_the_source_are_raised_and_widen_the_covariance():
    certain = Pose(np.zeros(3), np.array([1.0, 0, 0, 0]), np.eye(6) * 1e-6)
    far = Pose(np.full(3, 0.02), np.array([1.0, 0, 0, 0]), np.eye(6) * 1e-6)
    faults = [Fault("camera", "dark")] * 10
    fused = FilteredPose(Script([certain, *faults, far]))
    fused.pose(READING)
    for _ in faults:
        with pytest.raises(Fault, match="dark"):
            fused.pose(READING)
    # After this gap the object may be there.
    assert np.linalg.norm(fused.pose(READING).position - far.position) < 0.002


def test_the_filter_does_not_start_with_an_invalid_pose():
    good = Pose(np.zeros(3), np.array([1.0, 0, 0, 0]), np.eye(6) * 1e-6)
    bad = Pose(np.array([0.0, np.nan, 0.0]), good.quaternion, good.covariance)
    fused = FilteredPose(Script([bad, good]))
    with pytest.raises(Fault, match="not finite"):
        fused.pose(READING)
    np.testing.assert_array_equal(fused.pose(READING).position, good.position)


def test_skipped_actions_widen_the_covariance():
    certain = Pose(np.zeros(3), np.array([1.0, 0, 0, 0]), np.eye(6) * 1e-6)
    far = Pose(np.full(3, 0.05), np.array([1.0, 0, 0, 0]), np.eye(6) * 1e-6)
    for skipped in (0, 10):
        fused = FilteredPose(Script([certain, far]))
        fused.pose(READING)
        for _ in range(skipped):
            fused.skip()
        if skipped:
            assert np.linalg.norm(fused.pose(READING).position - far.position) < 0.002
        else:
            with pytest.raises(Fault, match="jumped"):
                fused.pose(READING)


@pytest.mark.parametrize("task", ["spin", "reorient"])
def test_motion_under_the_shipped_policies_is_not_rejected(task):
    config = EpisodeConfig(bundle=SHIPPED / task, fuse=True, seed=7)
    bundle = load_bundle(config.bundle, threads=1)
    env = make_env(config, bundle, 8, threads=1)
    loop = BatchedLoop(bundle, env, [make_source(config, bundle, env, i, None) for i in range(8)])
    error, actions = 0.0, 0
    for _ in range(150):
        loop.step()
        error += loop.error_m[env.running].sum()
        actions += env.running.sum()
    assert actions > 500
    assert loop.faults.sum() == 0
    # The filter lags by far less than the block moves.
    assert error / actions < 0.002


def test_the_update_uses_the_full_covariance_in_the_hand_frame():
    """Position x correlates with rotation about y, as in a camera's depth: by hand in 2D.

    Units of 1 mm and 0.1 rad. Prior covariance diag(4, 4), which includes the walk; measurement
    covariance [[4, 3], [3, 4]], which includes the floor. S = [[8, 3], [3, 8]], det S = 55, and
    K = 4 S^-1 = [[32, -12], [-12, 32]] / 55. A measurement of 1 mm and no rotation moves the
    estimate by K [1, 0] = [32, -12] / 55; the covariance is (I - K) 4 = [[92, 48], [48, 92]] / 55.
    """
    config = FilterConfig(
        position_walk=1e-3, rotation_walk=0.1, position_floor=1e-3, rotation_floor=0.1
    )
    unit = np.array([1e-3] * 3 + [0.1] * 3)
    start = quat_from_axis_angle([0.3, 1.0, -0.2], 1.0)
    prior = np.diag(2 * unit**2)  # + floor 1 + walk 1 = 4
    measured = np.diag(3 * unit**2)  # + floor 1 = 4
    measured[0, 4] = measured[4, 0] = 3 * unit[0] * unit[4]
    shifted = Pose(np.array([1e-3, 0.0, 0.0]), start, measured)
    fused = FilteredPose(Script([Pose(np.zeros(3), start, prior), shifted]), config)
    fused.pose(READING)
    after = fused.pose(READING)
    np.testing.assert_allclose(after.position, [1e-3 * 32 / 55, 0, 0], atol=1e-12)
    # In the hand frame the rotation is multiplied from the left.
    step = quat_to_rotvec(quat_multiply(after.quaternion, start * [1, -1, -1, -1]))
    np.testing.assert_allclose(step, [0, -0.1 * 12 / 55, 0], atol=1e-12)
    scaled = after.covariance / np.outer(unit, unit)
    np.testing.assert_allclose(
        scaled[np.ix_([0, 4], [0, 4])], np.array([[92, 48], [48, 92]]) / 55, atol=1e-9
    )


def test_the_gate_uses_the_correlation():
    certain = Pose(np.zeros(3), np.array([1.0, 0, 0, 0]), np.eye(6) * 1e-12)
    config = FilterConfig(
        position_walk=1e-6, rotation_walk=1e-6, position_floor=1e-6, rotation_floor=1e-6
    )
    covariance = np.diag([1e-4] * 3 + [1e-2] * 3)
    covariance[0, 4] = covariance[4, 0] = 0.95 * 1e-3
    for sign in (1, -1):  # along the correlation, and against it
        far = Pose(np.array([0.03, 0, 0]), rotvec_to_quat([0, 0.3 * sign, 0]), covariance)
        fused = FilteredPose(Script([certain, far]), config)
        fused.pose(READING)
        if sign > 0:
            fused.pose(READING)
        else:
            with pytest.raises(Fault, match="jumped"):
                fused.pose(READING)
