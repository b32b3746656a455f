"""Batches for the imitation network: a demonstration, and queries of another performance of it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from opendactyl.geometry.rotation import (
    Array,
    geodesic_angle,
    quat_conjugate,
    quat_multiply,
    quat_to_matrix,
    quat_to_rotvec,
    random_quat,
    rotvec_to_quat,
)
from opendactyl.policy.imitation import codes
from opendactyl.policy.imitation.programs import MAX_ACTIONS
from opendactyl.policy.imitation.segments import Motions
from opendactyl.policy.interface.keyframes import (
    MAX_KEYFRAMES,
    MAX_WAYPOINTS,
    STRIDE,
    encode,
)

IDLE = 0.6
"""A demonstration does not begin closer than this to its first goal, in radians."""
TRIES = 8
"""Starts drawn for that."""
MOVING = MAX_WAYPOINTS
"""Instead of the number of a waypoint: the object is between two."""
ARRIVAL = 0.2
"""Largest further miss of a goal, in radians: at run time a goal is left as soon as it is reached,
in a demonstration the object rests there."""


@dataclass(frozen=True, eq=False)
class Examples:
    """B demonstrations, and Q queries of each."""

    demonstration: NDArray[np.float32]
    """Keyframes (B, N, KEYFRAME_SIZE)."""
    rest: NDArray[np.int64]
    """The waypoint at which the object rests at each keyframe (B, N), `MOVING` between them."""
    present: NDArray[np.float32]
    """Orientations (B, Q, 3, 3)."""
    waypoints: NDArray[np.float32]
    """(B, Q, MAX_WAYPOINTS, WAYPOINT_SIZE), the latest first."""
    goal: NDArray[np.float32]
    """Goal orientations (B, Q, 3, 3)."""
    code: NDArray[np.int64]
    """The next action (B, Q), `codes.END` when there is none."""
    asked: NDArray[np.bool_]
    """Which of the queries exist (B, Q)."""

    def by_length(self, count: int) -> "list[Examples]":
        """The same in `count` batches of similar length, which need less padding."""
        length = self.demonstration[..., -1].sum(axis=1)
        return [self._take(rows) for rows in np.array_split(np.argsort(length), count)]

    def _take(self, rows: NDArray[np.int64]) -> "Examples":
        taken = {name: values[rows] for name, values in vars(self).items()}
        frames = int(taken["demonstration"][..., -1].sum(axis=1).max())
        queries = int(taken["asked"].sum(axis=1).max())
        for name in ("demonstration", "rest"):
            taken[name] = taken[name][:, :frames]
        for name in ("present", "waypoints", "goal", "code", "asked"):
            taken[name] = taken[name][:, :queries]
        return Examples(**taken)


class Composer:
    """Composes examples from the motions of recorded tracks."""

    def __init__(self, motions: Motions, noise: Array, *, last_only: bool = False) -> None:
        """Uses recorded motions.

        Args:
            motions: the recorded motions.
            noise: covariance (3, 3) of the estimated rotation vector, in the hand frame.
            last_only: keep only the last state of a demonstration.
        """
        self._motions, self._last_only = motions, last_only
        self._spread = np.linalg.cholesky(noise)

    def examples(self, forms: NDArray[np.int64], count: int, rng: np.random.Generator) -> Examples:
        """Composes `count` demonstrations, each with the queries of another performance.

        Args:
            forms: programs as codes (F, MAX_ACTIONS + 1), of which each example has one.
            count: number of demonstrations.
            rng: random number generator.
        """
        rows = codes.sample_codes(forms, count, rng)
        demonstration, rest = self.demonstrations(rows, rng)
        return self._queries(rows, demonstration, rest, rng)

    def demonstrations(
        self, rows: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Keyframes (B, N, KEYFRAME_SIZE), and at which waypoint the object rests (B, N)."""
        count = len(rows)
        # The first and the last column are the first and the last frame.
        frames = np.arange(MAX_KEYFRAMES) * STRIDE + rng.integers(0, STRIDE, (count, MAX_KEYFRAMES))
        frames[:, 0] = 0
        kept = np.zeros((count, MAX_KEYFRAMES, 4))
        around, rest = np.zeros((*frames.shape, 4)), np.zeros(frames.shape, dtype=int)
        last = self._starts(rows[:, 0], rng)
        before, length = last, np.zeros(count, dtype=int)
        kept[:, 0] = last
        for number in range(MAX_ACTIONS):
            acts = rows[:, number] != codes.END
            if not acts.any():
                break
            rotation = self._rotation(codes.goals(rows[:, number], last, before), last)
            chosen = self._motions.choose(rotation, rng)
            steps = np.where(acts, self._motions.lengths[chosen], 0)
            local = frames - length[:, None] - 1
            within = (local >= 0) & (local < steps[:, None])
            ends = np.concatenate([local, steps[:, None] - 1], axis=1)
            path, new = self._motions.poses(chosen, rotation, ends)
            path = quat_multiply(path, last[:, None])
            kept[within] = path[:, :-1][within]
            around[within] = new[:, :-1][within]
            resting = local >= self._motions.rests[chosen][:, None]
            rest[within] = np.where(resting, number + 1, MOVING)[within]
            before, last = (
                np.where(acts[:, None], last, before),
                np.where(acts[:, None], path[:, -1], last),
            )
            length += steps
        return self._finish(kept, around, frames, rest, last, length, rows, rng)

    def _finish(
        self, kept: Array, around: Array, frames: NDArray, rest: NDArray, last: Array,
        length: NDArray, rows: NDArray, rng: np.random.Generator,
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:  # fmt: skip
        """Adds the last frame and the noise, and encodes."""
        valid = frames < length[:, None]
        size = int(min(valid.sum(axis=1).max() + 1, MAX_KEYFRAMES))
        ends = np.minimum(valid.sum(axis=1), size - 1)
        row = np.arange(len(rows))
        kept[row, ends], frames[row, ends], valid[row, ends] = last, length, True
        rest[row, ends], around[row, ends] = (rows != codes.END).sum(axis=1), 0.0
        kept, valid = kept[:, :size], valid[:, :size] & (np.arange(size) <= ends[:, None])
        kept = np.where(valid[..., None], kept, [1.0, 0.0, 0.0, 0.0])
        # Nothing was before the start or after the end.
        sides = np.stack([frames, length[:, None] - frames], axis=-1) / STRIDE
        around[..., 2:] = np.clip(around[..., 2:], 0, np.maximum(sides, 0))
        encoded = encode(self._noisy(kept, rng), around[:, :size], frames[:, :size])
        if self._last_only:
            encoded, valid = encoded[row, ends][:, None], np.ones((len(row), 1), dtype=bool)
            rest, size = rest[row, ends][:, None], 1
            encoded[..., 9:14] = 0.0
        return (encoded * valid[..., None]).astype(np.float32), rest[:, :size]

    def _starts(self, first: NDArray[np.int64], rng: np.random.Generator) -> Array:
        starts = random_quat(rng, (len(first),))
        for _ in range(TRIES):
            near = geodesic_angle(codes.goals(first, starts, starts), starts) < IDLE
            starts[near] = random_quat(rng, (int(near.sum()),))
        return starts

    @staticmethod
    def _rotation(goal: Array, quat: Array) -> Array:
        return quat_to_rotvec(quat_multiply(goal, quat_conjugate(quat)))

    def _noisy(self, quat: Array, rng: np.random.Generator) -> Array:
        """Adds the estimator's noise to orientations (..., 4)."""
        noise = rng.standard_normal((*quat.shape[:-1], 3)) @ self._spread.T
        return quat_multiply(rotvec_to_quat(noise), quat)

    def _queries(
        self, rows: NDArray[np.int64], demonstration: NDArray[np.float32],
        rest: NDArray[np.int64], rng: np.random.Generator,
    ) -> Examples:  # fmt: skip
        """The queries at the waypoints of another performance, from another start."""
        count = len(rows)
        quats = np.zeros((count, MAX_WAYPOINTS, 4))
        quats[:, 0] = random_quat(rng, (count,))
        goal = np.zeros((count, MAX_WAYPOINTS, 4))
        for number in range(MAX_WAYPOINTS):
            last, before = quats[:, number], quats[:, max(number - 1, 0)]
            goal[:, number] = codes.goals(rows[:, number], last, before)
            if number + 1 < MAX_WAYPOINTS:
                rotation = self._rotation(goal[:, number], last)
                chosen = self._motions.choose(rotation, rng)
                path, _ = self._motions.poses(
                    chosen, rotation, self._motions.lengths[chosen][:, None] - 1
                )
                reached = quat_multiply(_misses(count, rng), quat_multiply(path[:, 0], last))
                quats[:, number + 1] = self._noisy(reached, rng)
        asked = np.cumsum(rows == codes.END, axis=1) <= 1
        matrices = quat_to_matrix(quats)
        waypoints = np.zeros((count, MAX_WAYPOINTS, MAX_WAYPOINTS, 10))
        for number in range(MAX_WAYPOINTS):
            so_far = matrices[:, number::-1].reshape(count, number + 1, 9)
            waypoints[:, number, : number + 1, :9] = so_far
            waypoints[:, number, : number + 1, 9] = 1.0
        size = int(asked.sum(axis=1).max())
        matrices, waypoints, truth = (
            values[:, :size].astype(np.float32)
            for values in (matrices, waypoints, quat_to_matrix(goal))
        )
        return Examples(
            demonstration, rest, matrices, waypoints, truth, rows[:, :size], asked[:, :size]
        )


def _misses(count: int, rng: np.random.Generator) -> Array:
    """Small rotations (B, 4) about random axes."""
    axes = rng.standard_normal((count, 3))
    axes /= np.linalg.norm(axes, axis=-1, keepdims=True)
    return rotvec_to_quat(axes * rng.uniform(0, ARRIVAL, (count, 1)))
