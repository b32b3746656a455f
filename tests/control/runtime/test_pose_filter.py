"""The filter: better than the estimates it is given, and not shaken by one that jumps."""

from pathlib import Path

import numpy as np
import pytest

from opendactyl.control.bundle.load import load_bundle
from opendactyl.control.evaluation.batched_loop import Loop
from opendactyl.control.evaluation.episodes import EpisodeConfig, make_env, make_source
from opendactyl.control.runtime.interfaces import Fault, HandReading
from opendactyl.control.runtime.pose_filter import FilterConfig, FilteredPose
from opendactyl.geometry.rotation import (
    geodesic_angle,
    quat_from_axis_angle,
    quat_multiply,
    rotvec_to_quat,
)
from opendactyl.vision.estimator import Pose

SHIPPED = Path(__file__).parents[3] / "pretrained"
READING = HandReading(np.zeros(24), np.zeros((5, 3)))
CALM = FilterConfig(position_walk=0.001, rotation_walk=0.03)


class Script:
    """Gives what it is told to, one after the other."""

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
    turn = rotvec_to_quat(rng.normal(0, rotation_std, 3))
    covariance = np.diag([position_std**2] * 3 + [rotation_std**2] * 3)
    return Pose(
        position + rng.normal(0, position_std, 3), quat_multiply(turn, quaternion), covariance
    )


def truth(count, rate=0.02):
    for k in range(count):
        yield np.array([0.0, 0.0001 * k, 0.03]), quat_from_axis_angle([0.3, 1, 0.2], rate * k)


def test_the_fused_pose_is_nearer_to_the_truth_than_the_estimates():
    rng = np.random.default_rng(0)
    path = list(truth(300))
    seen = [noisy(rng, *moment, 0.006, 0.15) for moment in path]
    fused = FilteredPose(Script(seen), CALM)
    poses = [fused.pose(READING) for _ in path]

    def errors(poses):
        pairs = list(zip(poses, path, strict=True))
        rotation = np.mean([geodesic_angle(pose.quaternion, q) for pose, (_, q) in pairs])
        return rotation, np.mean([np.linalg.norm(pose.position - x) for pose, (x, _) in pairs])

    raw, better = errors(seen), errors(poses)
    assert better[0] < 0.7 * raw[0]
    assert better[1] < 0.7 * raw[1]
    # What it says of itself is what it is: within a factor of two.
    own = np.sqrt(poses[-1].covariance[3, 3])
    assert 0.5 < better[0] / (1.6 * own) < 2


def test_an_uncertain_estimate_weighs_little():
    sure = Pose(np.zeros(3), np.array([1.0, 0, 0, 0]), np.eye(6) * 1e-6)
    turned = quat_from_axis_angle([0, 0, 1], 0.6)
    vague = Pose(np.full(3, 0.02), turned, np.eye(6) * 4.0)
    for other, share in ((vague, 0.1), (Pose(vague.position, turned, np.eye(6) * 1e-3), 0.8)):
        fused = FilteredPose(Script([sure, other]), FilterConfig())
        fused.pose(READING)
        after = fused.pose(READING)
        part = geodesic_angle(after.quaternion, sure.quaternion) / 0.6
        assert (part < share) == (other is vague)


def test_one_jump_is_rejected_and_said():
    rng = np.random.default_rng(0)
    here, there = np.array([1.0, 0, 0, 0]), quat_from_axis_angle([1, 0, 0], 2.0)
    steady = [noisy(rng, np.zeros(3), here, 0.002, 0.05) for _ in range(5)]
    jump = noisy(rng, np.full(3, 0.05), there, 0.002, 0.05)
    fused = FilteredPose(Script([*steady, jump, *steady]))
    for _ in steady:
        fused.pose(READING)
    with pytest.raises(Fault, match=r"jumped by \d+ mm and \d+°") as raised:
        fused.pose(READING)
    assert raised.value.part == "pose"
    assert geodesic_angle(fused.pose(READING).quaternion, here) < 0.15


def test_jumps_that_agree_are_believed_and_those_that_do_not_are_not():
    rng = np.random.default_rng(0)
    here = np.array([1.0, 0, 0, 0])
    there = quat_from_axis_angle([1, 0, 0], 2.5)
    config = FilterConfig(give_in=4)

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
    assert rejected(agreeing) == config.give_in - 1
    axes = np.concatenate([np.eye(3), -np.eye(3)])
    wild = [noisy(rng, np.zeros(3), quat_from_axis_angle(axis, 2.0), 0.002, 0.05) for axis in axes]
    assert rejected(wild) >= 5


def test_faults_of_the_source_pass_and_make_the_filter_less_sure():
    sure = Pose(np.zeros(3), np.array([1.0, 0, 0, 0]), np.eye(6) * 1e-6)
    far = Pose(np.full(3, 0.02), np.array([1.0, 0, 0, 0]), np.eye(6) * 1e-6)
    faults = [Fault("camera", "dark")] * 10
    fused = FilteredPose(Script([sure, *faults, far]))
    fused.pose(READING)
    for _ in faults:
        with pytest.raises(Fault, match="dark"):
            fused.pose(READING)
    # After so long a gap the object may well be there.
    assert np.linalg.norm(fused.pose(READING).position - far.position) < 0.002


def test_a_first_estimate_that_is_no_pose_is_not_begun_with():
    good = Pose(np.zeros(3), np.array([1.0, 0, 0, 0]), np.eye(6) * 1e-6)
    bad = Pose(np.array([0.0, np.nan, 0.0]), good.quaternion, good.covariance)
    fused = FilteredPose(Script([bad, good]))
    with pytest.raises(Fault, match="not finite"):
        fused.pose(READING)
    np.testing.assert_array_equal(fused.pose(READING).position, good.position)


def test_what_is_not_looked_at_may_have_moved():
    sure = Pose(np.zeros(3), np.array([1.0, 0, 0, 0]), np.eye(6) * 1e-6)
    far = Pose(np.full(3, 0.05), np.array([1.0, 0, 0, 0]), np.eye(6) * 1e-6)
    for skipped in (0, 10):
        fused = FilteredPose(Script([sure, far]))
        fused.pose(READING)
        for _ in range(skipped):
            fused.skip()
        if skipped:
            assert np.linalg.norm(fused.pose(READING).position - far.position) < 0.002
        else:
            with pytest.raises(Fault, match="jumped"):
                fused.pose(READING)


@pytest.mark.parametrize("task", ["spin", "reorient"])
def test_what_the_policies_that_ship_do_with_the_block_is_no_jump(task):
    config = EpisodeConfig(bundle=SHIPPED / task, fuse=True, seed=7)
    bundle = load_bundle(config.bundle, threads=1)
    env = make_env(config, bundle, 8, threads=1)
    loop = Loop(bundle, env, [make_source(config, bundle, env, i, None) for i in range(8)])
    error, actions = 0.0, 0
    for _ in range(150):
        loop.step()
        error += loop.error_m[env.running].sum()
        actions += env.running.sum()
    assert actions > 500
    assert loop.faults.sum() == 0
    # The filter follows: it lags far less than the block moves.
    assert error / actions < 0.002
