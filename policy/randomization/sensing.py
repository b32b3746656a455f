"""What happens between the hand and a policy's measurements: offsets, noise, loss, delay.

Every piece works on simulations `ids` (K,) and keeps the state of all B; `begin` starts episodes.
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
from opendactyl.policy.randomization.rng import Chance
from opendactyl.sim.hands.names import CONTROL_PERIOD, FINGERTIPS
from opendactyl.sim.objects.spec import ObjectSpec

NAIL_OFFSETS = np.array([[0.0, 0.007, -0.01]] * 4 + [[0.009, 0.0, -0.01]])
"""Centres of the nails (5, 3) in the fingertips' frames, in metres: z points out of the tip, and
the fingers bend about x, the thumb about y."""
NAIL_RADIUS = 0.005
"""Radius of the ball that stands for a nail's marker: about robogym's box of 6 × 12 × 8 mm."""
TIP_RADIUS = 0.009
"""Radius of the ball at a fingertip that can cover another one's nail."""


def noisy(
    true: Measurement, frames: Array, ids: Ids, chance: Chance, episode: Episode,
    config: RandomizationConfig,
) -> Measurement:  # fmt: skip
    """Measurements of K hands with the episodes' offsets and this action's noise.

    Args:
        true: the truth, of the same K hands.
        frames: hand_from_fingertip rotations (K, 5, 3, 3).
        ids: the simulations (K,).
        chance: the numbers of this action.
        episode: what the episodes drew.
        config: the widths of the noise.
    """
    marker = (frames @ episode["fingertip_marker"][ids][..., None])[..., 0]
    noise = config.fingertip_noise * chance.normal("fingertips", ids).reshape(marker.shape)
    turn = quat_multiply(
        rotvec_to_quat(config.rotation_noise * chance.normal("rotation", ids)),
        rotvec_to_quat(episode["rotation_offset"][ids]),
    )
    return Measurement(
        fingertips=true.fingertips + episode["fingertip_offset"][ids] + marker + noise,
        object_position=true.object_position
        + episode["position_offset"][ids]
        + config.position_noise * chance.normal("position", ids),
        object_quaternion=quat_canonical(quat_multiply(turn, true.object_quaternion)),
        joints=true.joints
        + episode["joint_offset"][ids]
        + config.joint_noise * chance.normal("joints", ids),
    )


def covered_nails(
    true: Measurement, frames: Array, obj: ObjectSpec, size: Array
) -> NDArray[np.bool_]:
    """Which nails (K, 5) touch the object or another fingertip.

    Args:
        true: the truth about K hands.
        frames: hand_from_fingertip rotations (K, 5, 3, 3).
        obj: the object.
        size: its size in each hand (K,), 1 is nominal.
    """
    nails = true.fingertips + (frames @ NAIL_OFFSETS[..., None])[..., 0]
    # Row vectors times the object's rotation matrix: the inverse rotation.
    local = (nails - true.object_position[:, None]) @ quat_to_matrix(true.object_quaternion)
    # Once an action for every hand: sums over short axes, which numpy's reductions are slow at, are
    # written out.
    beyond = np.maximum.reduce(
        [
            local @ face.frame[:3, 2] - face.frame[:3, 3] @ face.frame[:3, 2] * size[:, None]
            for face in obj.faces
        ]
    )
    apart = nails[:, :, None] - true.fingertips[:, None]
    squared = np.einsum("kijc,kijc->kij", apart, apart)
    squared[:, np.arange(len(FINGERTIPS)), np.arange(len(FINGERTIPS))] = np.inf
    return (beyond < NAIL_RADIUS) | (squared.min(axis=-1) < (NAIL_RADIUS + TIP_RADIUS) ** 2)


class Markers:
    """Fingertip markers that get lost for a while or covered, and then keep their last reading."""

    def __init__(self, num_envs: int, config: RandomizationConfig) -> None:
        """Starts with every marker in sight."""
        self._chance = config.marker_loss * CONTROL_PERIOD
        self._actions = round(config.marker_loss_seconds / CONTROL_PERIOD)
        self._lost = np.zeros((num_envs, len(FINGERTIPS)), dtype=np.int64)
        self._seen = np.zeros((num_envs, len(FINGERTIPS), 3))
        self._fresh = np.ones(num_envs, dtype=bool)

    def begin(self, ids: Ids) -> None:
        """Starts episodes: the first reading is always there."""
        self._lost[ids] = 0
        self._fresh[ids] = True

    def __call__(
        self, read: Array, covered: NDArray[np.bool_] | None, ids: Ids, chance: Chance
    ) -> Array:
        """What is known of the fingertips (K, 5, 3), from readings and which are covered (K, 5)."""
        lost = np.maximum(self._lost[ids] - 1, 0)
        lost[(lost == 0) & (chance.uniform("marker_loss", ids) < self._chance)] = self._actions
        keeps = lost > 0 if covered is None else (lost > 0) | covered
        keeps &= ~self._fresh[ids, None]
        known = np.where(keeps[..., None], self._seen[ids], read)
        self._lost[ids], self._seen[ids], self._fresh[ids] = lost, known, False
        return known


class PoseChannel:
    """The object's pose as an estimator gives it: late, rarely, sometimes not, sometimes wrong."""

    def __init__(self, num_envs: int, config: RandomizationConfig) -> None:
        """Starts without a past."""
        self._config = config
        self._loss = config.pose_loss * CONTROL_PERIOD
        self._actions = round(config.pose_loss_seconds / CONTROL_PERIOD)
        self._past = np.zeros((num_envs, config.pose_delay[1] + 1, 7))
        self._known = np.zeros((num_envs, 7))
        self._lost = np.zeros(num_envs, dtype=np.int64)
        self._age = np.full(num_envs, -1)

    def begin(self, ids: Ids) -> None:
        """Starts episodes: the first pose is always there."""
        self._age[ids] = -1
        self._lost[ids] = 0

    def __call__(
        self, seen: Measurement, ids: Ids, chance: Chance, episode: Episode
    ) -> Measurement:
        """The measurements of K hands with the pose that has arrived by now."""
        pose = np.concatenate([seen.object_position, seen.object_quaternion], axis=-1)
        age = self._age[ids] + 1
        past = np.concatenate([pose[:, None], self._past[ids, :-1]], axis=1)
        past[age == 0] = pose[age == 0, None]
        arrived = past[np.arange(len(ids)), episode["pose_delay"][ids]]
        injected = chance.uniform("injection", ids)[:, 0] < episode["pose_injection"][ids]
        arrived = np.where(injected[:, None], self._random(arrived, ids, chance), arrived)
        lost = np.maximum(self._lost[ids] - 1, 0)
        lost[(lost == 0) & (chance.uniform("pose_loss", ids)[:, 0] < self._loss)] = self._actions
        new = (age == 0) | ((age % episode["pose_period"][ids] == 0) & (lost == 0))
        known = np.where(new[:, None], arrived, self._known[ids])
        self._age[ids], self._past[ids], self._known[ids], self._lost[ids] = age, past, known, lost
        return replace(seen, object_position=known[:, :3], object_quaternion=known[:, 3:])

    def _random(self, pose: Array, ids: Ids, chance: Chance) -> Array:
        moved = self._config.injected_position * chance.normal("injected_position", ids)
        turned = quat_canonical(chance.normal("injected_rotation", ids))
        return np.concatenate([pose[:, :3] + moved, turned], axis=-1)
