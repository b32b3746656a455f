"""Disturbances of measurement: offsets, noise, loss and delay.

Each class handles simulations `ids` (K,) and stores the state of all B; `begin` starts episodes.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from opendactyl.geometry.rotation import (
    Array,
    quat_canonical,
    quat_multiply,
    quat_to_matrix,
    rotvec_to_quat,
)
from opendactyl.policy.interface.observations import Measurement
from opendactyl.policy.randomization.actuation import Episode, Ids
from opendactyl.policy.randomization.config import RandomizationConfig
from opendactyl.policy.randomization.rng import EpisodeStreams
from opendactyl.sim.objects.spec import ObjectSpec
from opendactyl.sim.timing import CONTROL_PERIOD

NAIL_RADIUS = 0.005
"""Radius of the sphere that represents a nail's marker: about robogym's box of 6 × 12 × 8 mm."""
TIP_RADIUS = 0.009
"""Radius of the sphere at a fingertip that can occlude the marker of another one."""


def add_noise(
    true: Measurement, frames: Array, ids: Ids, streams: EpisodeStreams, episode: Episode,
    config: RandomizationConfig,
) -> Measurement:  # fmt: skip
    """Measurements of K hands with the episodes' offsets and this action's noise.

    Args:
        true: true measurements of the same K hands.
        frames: hand_from_fingertip rotations (K, 5, 3, 3).
        ids: the simulations (K,).
        streams: random numbers of this action.
        episode: parameters of the episodes.
        config: the widths of the noise.
    """
    marker = (frames @ episode["fingertip_marker"][ids][..., None])[..., 0]
    noise = config.fingertip_noise * streams.normal("fingertips", ids).reshape(marker.shape)
    rotation = quat_multiply(
        rotvec_to_quat(config.rotation_noise * streams.normal("rotation", ids)),
        rotvec_to_quat(episode["rotation_offset"][ids]),
    )
    return replace(
        true,
        fingertips=true.fingertips + episode["fingertip_offset"][ids] + marker + noise,
        object_position=true.object_position
        + episode["position_offset"][ids]
        + config.position_noise * streams.normal("position", ids),
        object_quaternion=quat_canonical(quat_multiply(rotation, true.object_quaternion)),
        joints=true.joints
        + episode["joint_offset"][ids]
        + config.joint_noise * streams.normal("joints", ids),
    )


def occluded_markers(
    true: Measurement, frames: Array, offsets: Array, obj: ObjectSpec, size: Array
) -> NDArray[np.bool_]:
    """Which fingertip markers (K, 5) touch the object or another fingertip.

    Args:
        true: true measurements of K hands.
        frames: hand_from_fingertip rotations (K, F, 3, 3).
        offsets: centres of the nails (F, 3) in the fingertips' frames, in metres.
        obj: the object.
        size: its size in each hand (K,) relative to nominal.
    """
    nails = true.fingertips + (frames @ offsets[..., None])[..., 0]
    # Row vectors times the object's rotation matrix: the inverse rotation.
    local = (nails - true.object_position[:, None]) @ quat_to_matrix(true.object_quaternion)
    # Runs at every action. The sums over short axes are written out: numpy's reductions are slow
    # at them.
    clearance = np.maximum.reduce(
        [local @ normal - distance * size[:, None] for normal, distance in obj.planes]
    )
    apart = nails[:, :, None] - true.fingertips[:, None]
    squared = np.einsum("kijc,kijc->kij", apart, apart)
    own = np.arange(len(offsets))
    squared[:, own, own] = np.inf
    return (clearance < NAIL_RADIUS) | (squared.min(axis=-1) < (NAIL_RADIUS + TIP_RADIUS) ** 2)


class Markers:
    """Fingertip markers; while lost or occluded, they keep their last reading."""

    def __init__(self, num_envs: int, fingertips: int, config: RandomizationConfig) -> None:
        """Starts with every marker visible."""
        self._loss_probability = config.marker_loss * CONTROL_PERIOD
        self._actions = round(config.marker_loss_seconds / CONTROL_PERIOD)
        self._lost = np.zeros((num_envs, fingertips), dtype=np.int64)
        self._last = np.zeros((num_envs, fingertips, 3))
        self._fresh = np.ones(num_envs, dtype=bool)

    def begin(self, ids: Ids) -> None:
        """Starts episodes; the first reading is never lost."""
        self._lost[ids] = 0
        self._fresh[ids] = True

    def __call__(
        self,
        read: Array,
        occluded: NDArray[np.bool_] | None,
        ids: Ids,
        streams: EpisodeStreams,
    ) -> Array:
        """The fingertips (K, 5, 3) with old readings where markers are lost or occluded.

        Args:
            read: current readings (K, 5, 3).
            occluded: which markers are occluded (K, 5); None for none.
            ids: the simulations (K,).
            streams: random numbers of this action.
        """
        lost = np.maximum(self._lost[ids] - 1, 0)
        lost[(lost == 0) & (streams.uniform("marker_loss", ids) < self._loss_probability)] = (
            self._actions
        )
        keeps = lost > 0 if occluded is None else (lost > 0) | occluded
        keeps &= ~self._fresh[ids, None]
        known = np.where(keeps[..., None], self._last[ids], read)
        self._lost[ids], self._last[ids], self._fresh[ids] = lost, known, False
        return known


class PoseChannel:
    """The object's pose with the delay, rate, losses and outliers of an estimator."""

    def __init__(self, num_envs: int, config: RandomizationConfig) -> None:
        """Starts with an empty history."""
        self._config = config
        self._loss_probability = config.pose_loss * CONTROL_PERIOD
        self._actions = round(config.pose_loss_seconds / CONTROL_PERIOD)
        self._past = np.zeros((num_envs, config.pose_delay[1] + 1, 7))
        self._known = np.zeros((num_envs, 7))
        self._lost = np.zeros(num_envs, dtype=np.int64)
        self._age = np.full(num_envs, -1)

    def begin(self, ids: Ids) -> None:
        """Starts episodes; the first pose is never lost."""
        self._age[ids] = -1
        self._lost[ids] = 0

    def __call__(
        self, measured: Measurement, ids: Ids, streams: EpisodeStreams, episode: Episode
    ) -> Measurement:
        """The measurements of K hands with the latest pose that has arrived."""
        pose = np.concatenate([measured.object_position, measured.object_quaternion], axis=-1)
        age = self._age[ids] + 1
        past = np.concatenate([pose[:, None], self._past[ids, :-1]], axis=1)
        past[age == 0] = pose[age == 0, None]
        arrived = past[np.arange(len(ids)), episode["pose_delay"][ids]]
        injected = streams.uniform("injection", ids)[:, 0] < episode["pose_injection"][ids]
        arrived = np.where(injected[:, None], self._outlier(arrived, ids, streams), arrived)
        lost = np.maximum(self._lost[ids] - 1, 0)
        lost[(lost == 0) & (streams.uniform("pose_loss", ids)[:, 0] < self._loss_probability)] = (
            self._actions
        )
        new = (age == 0) | ((age % episode["pose_period"][ids] == 0) & (lost == 0))
        known = np.where(new[:, None], arrived, self._known[ids])
        self._age[ids], self._past[ids], self._known[ids], self._lost[ids] = age, past, known, lost
        return replace(measured, object_position=known[:, :3], object_quaternion=known[:, 3:])

    def _outlier(self, pose: Array, ids: Ids, streams: EpisodeStreams) -> Array:
        offset = self._config.injected_position * streams.normal("injected_position", ids)
        quaternion = quat_canonical(streams.normal("injected_rotation", ids))
        return np.concatenate([pose[:, :3] + offset, quaternion], axis=-1)
