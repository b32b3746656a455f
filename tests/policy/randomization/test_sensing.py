"""Randomized measurements: noise, lost and occluded markers, late and wrong poses."""

import dataclasses

import numpy as np
import pytest

from opendactyl.geometry.rotation import geodesic_angle, random_quat
from opendactyl.policy.interface.observations import HandSize, Measurement
from opendactyl.policy.randomization import sensing
from opendactyl.policy.randomization.config import PRESETS
from opendactyl.policy.randomization.rng import EpisodeStreams
from opendactyl.sim.hands.shipped import hand_spec
from opendactyl.sim.objects.shipped import object_spec

NONE = PRESETS["none"]
IDS = np.arange(3)
HALF = np.full(20, 0.5)


def streams(count=3, seed=0):
    streams = EpisodeStreams(count, seed, HandSize.of(hand_spec()))
    streams.begin(np.arange(count), np.arange(count))
    streams.advance(np.arange(count))
    return streams


def measurement(rng, count=3):
    return Measurement(
        rng.normal(0, 0.05, (count, 5, 3)),
        rng.normal(0, 0.02, (count, 3)),
        random_quat(rng, (count,)),
        rng.normal(0, 0.3, (count, 24)),
    )


def test_sensor_noise_has_the_stated_widths():
    config, rng = PRESETS["dactyl"], np.random.default_rng(0)
    numbers, true = streams(), measurement(rng)
    zero = {
        "fingertip_marker": np.zeros((3, 5, 3)), "fingertip_offset": np.zeros((3, 5, 3)),
        "rotation_offset": np.zeros((3, 3)), "position_offset": np.zeros((3, 3)),
        "joint_offset": np.zeros((3, 24)),
    }  # fmt: skip
    frames = np.broadcast_to(np.eye(3), (3, 5, 3, 3))
    measured = []
    for _ in range(300):
        numbers.advance(IDS)
        measured.append(sensing.add_noise(true, frames, IDS, numbers, zero, config))
    tips = np.stack([m.fingertips - true.fingertips for m in measured])
    positions = np.stack([m.object_position - true.object_position for m in measured])
    angles = np.stack(
        [geodesic_angle(m.object_quaternion, true.object_quaternion) for m in measured]
    )
    assert tips.std() == pytest.approx(0.002, rel=0.05)
    assert positions.std() == pytest.approx(0.001, rel=0.1)
    # Norm of three normal numbers of width 0.1.
    assert np.sqrt(np.mean(angles**2)) == pytest.approx(0.1 * 3**0.5, rel=0.1)
    constant = sensing.add_noise(
        true, frames, IDS, numbers, zero | {"position_offset": np.full((3, 3), 0.01)}, NONE
    )
    np.testing.assert_allclose(constant.object_position, true.object_position + 0.01)
    np.testing.assert_allclose(constant.fingertips, true.fingertips)


def test_lost_markers_keep_their_last_reading_for_a_second():
    config = dataclasses.replace(NONE, marker_loss=0.2)
    markers, numbers = sensing.Markers(3, 5, config), streams()
    markers.begin(IDS)
    frozen = []
    for step in range(2000):
        numbers.advance(IDS)
        reading = np.full((3, 5, 3), float(step))
        frozen.append((markers(reading, None, IDS, numbers) != step)[..., 0])
    frozen = np.stack(frozen)
    # A loss after 5 s of visibility on average, each 1 s long: a sixth of the time.
    assert frozen.mean() == pytest.approx(1 / 6, abs=0.03)
    ends = np.flatnonzero(np.diff(np.concatenate([[0], frozen[:, 0, 0], [0]])))
    lengths = ends[1::2] - ends[::2]
    assert np.all(lengths % 12 == 0) and len(lengths) > 10


def test_occluded_markers_keep_their_last_reading_of_the_same_episode():
    markers, numbers = sensing.Markers(3, 5, NONE), streams()
    markers.begin(IDS)
    occluded = np.ones((3, 5), dtype=bool)
    ones, twos = np.ones((3, 5, 3)), np.full((3, 5, 3), 2.0)
    assert np.all(markers(ones, occluded, IDS, numbers) == 1)
    assert np.all(markers(twos, occluded, IDS, numbers) == 1)
    assert np.all(markers(twos, ~occluded, IDS, numbers) == 2)
    markers.begin(IDS[:1])
    later = markers(ones, occluded, IDS, numbers)
    assert np.all(later[0] == 1) and np.all(later[1:] == 2)


@pytest.mark.parametrize("name", ["block", "prism"])
def test_markers_are_occluded_by_the_object_and_by_other_fingers(name):
    rng = np.random.default_rng(0)
    true = measurement(rng, 2)
    spread = np.array([[0.2 * finger, 0.0, 0.0] for finger in range(5)])
    frames = np.broadcast_to(np.eye(3), (2, 5, 3, 3))
    tips = true.object_position[:, None] + 1.0 + spread
    tips[1, 2] = true.object_position[1]
    # The nail of finger 4 is at the tip of finger 3.
    tips[0, 3] = tips[0, 4] + hand_spec().nails[4]
    occluded = sensing.occluded_markers(
        dataclasses.replace(true, fingertips=tips),
        frames,
        hand_spec().nails,
        object_spec(name),
        np.ones(2),
    )
    assert occluded[1].tolist() == [False, False, True, False, False]
    assert occluded[0, 4] and not occluded[0, :3].any()


def test_poses_arrive_with_delay_and_period():
    config = dataclasses.replace(NONE, pose_delay=(0, 2), pose_period=(1, 3))
    channel, numbers = sensing.PoseChannel(3, config), streams()
    channel.begin(IDS)
    episode = {
        "pose_delay": np.array([0, 2, 0]), "pose_period": np.array([1, 1, 3]),
        "pose_injection": np.zeros(3),
    }  # fmt: skip
    known, rng = [], np.random.default_rng(0)
    true = measurement(rng)
    for step in range(7):
        now = dataclasses.replace(true, object_position=np.full((3, 3), float(step)))
        known.append(channel(now, IDS, numbers, episode).object_position[:, 0])
    known = np.stack(known)
    assert known[:, 0].tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert known[:, 1].tolist() == [0, 0, 0, 1, 2, 3, 4]
    assert known[:, 2].tolist() == [0, 0, 0, 3, 3, 3, 6]


def test_injected_poses_are_random_and_last_one_action():
    config = dataclasses.replace(NONE, pose_injection=(0.3, 0.3), injected_position=0.03)
    channel, numbers = sensing.PoseChannel(3, config), streams()
    channel.begin(IDS)
    true = measurement(np.random.default_rng(0))
    episode = {
        "pose_delay": np.zeros(3, dtype=int), "pose_period": np.ones(3, dtype=int),
        "pose_injection": np.array([0.0, 0.3, 1.0]),
    }  # fmt: skip
    angles = []
    for _ in range(400):
        numbers.advance(IDS)
        measured = channel(true, IDS, numbers, episode)
        angles.append(geodesic_angle(measured.object_quaternion, true.object_quaternion))
    wrong = np.array(angles) > 1e-6
    assert wrong[:, 0].sum() == 0 and wrong[:, 2].all()
    assert wrong[:, 1].mean() == pytest.approx(0.3, abs=0.08)
    # The mean angle of uniform rotations is pi/2 + 2/pi.
    assert np.mean(np.array(angles)[:, 2]) == pytest.approx(np.pi / 2 + 2 / np.pi, abs=0.15)
