"""What the simulations did lately, and samples of it to learn from."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from opendactyl.models.policy.chunks import FRAMES, Chunks, Observed

NOISE = 0.2
"""Standard deviation of the logarithm of the factor on touch and forces in each sample: real
sensors are not calibrated to the simulation."""
HIDDEN = 0.3
"""Fraction of the samples without pose tokens, and of those without the estimator's tokens, where
both are known."""


class Replay:
    """A ring buffer of steps of B simulations."""

    def __init__(
        self,
        capacity: int,
        sizes: tuple[int, int, int, int],
        chunk: int,
        tokens: tuple[int, ...] | None = None,
    ) -> None:
        """Allocates the buffer.

        Args:
            capacity: number of steps.
            sizes: B, length of an observation, of its physics fields at the end, and A.
            chunk: actions of a plan.
            tokens: shape (V, T) of the estimator's tokens, if they are kept.
        """
        batch, size, self._physics, actuators = sizes
        self._capacity, self._chunk = capacity, chunk
        self._observation = np.zeros((capacity, batch, size), np.float32)
        self._label = np.zeros((capacity, batch, actuators), np.float32)
        self._episode, self._goal = np.zeros((2, capacity, batch), np.int64)
        self._tokens = None if tokens is None else np.zeros((capacity, batch, *tokens), np.float16)
        self._next = self._filled = 0

    def add(
        self,
        observation: NDArray[np.float32],
        label: NDArray[np.floating],
        episode: NDArray[np.int64],
        goal: NDArray[np.int64],
        tokens: NDArray[np.float32] | None = None,
    ) -> None:
        """Adds a step.

        Args:
            observation: what the driver observed (B, n).
            label: the teacher's actions (B, A), in [-1, 1].
            episode: numbers of the episodes (B,).
            goal: numbers of the goals in them (B,).
            tokens: the estimator's tokens (B, V, T).
        """
        at = self._next
        self._observation[at], self._label[at] = observation, label
        self._episode[at], self._goal[at] = episode, goal
        if self._tokens is not None and tokens is not None:
            self._tokens[at] = tokens
        self._next = (at + 1) % self._capacity
        self._filled = min(self._filled + 1, self._capacity)

    @property
    def ready(self) -> bool:
        """Whether it holds enough steps for one plan."""
        return self._filled > FRAMES + self._chunk

    def latest(self, count: int) -> tuple[Tensor, Tensor]:
        """The observations (N, n) and the physics (N, F + A) of the last `count` steps."""
        rows = (self._next - 1 - np.arange(count)) % self._capacity
        values = self._observation[rows].reshape(-1, self._observation.shape[-1])
        return self._split(values)

    def _split(self, values: NDArray[np.float32]) -> tuple[Tensor, Tensor]:
        own = values.shape[-1] - self._physics
        return torch.from_numpy(values[..., :own]), torch.from_numpy(values[..., own:])

    def sample(
        self, count: int, rng: np.random.Generator, dropout: float
    ) -> tuple[Observed, Chunks]:
        """Draws plans to learn from.

        Args:
            count: number of plans N.
            rng: random number generator.
            dropout: fraction of them with a masked physics stream.
        """
        first = rng.integers(FRAMES - 1, self._filled - self._chunk - 1, count)
        oldest = self._next - self._filled
        hands = rng.integers(self._label.shape[1], size=count)[:, None]
        now = ((oldest + first) % self._capacity)[:, None]
        before = (now + np.arange(1 - FRAMES, 1)) % self._capacity
        after = (now + np.arange(self._chunk)) % self._capacity
        frames, _ = self._split(self._observation[before, hands])
        _, physics = self._split(self._observation[now[:, 0], hands[:, 0]])
        _, future = self._split(self._observation[(after + 1) % self._capacity, hands])
        episode, goal = self._episode[now, hands], self._goal[now, hands]
        same = self._episode[after, hands] == episode
        exists = torch.from_numpy(self._episode[before, hands] == episode).float()
        known = torch.from_numpy(same & (self._goal[after, hands] == goal)).float()
        ended = torch.from_numpy(self._episode[(after + 1) % self._capacity, hands] != episode)
        factor = np.exp(NOISE * rng.standard_normal(physics.shape)).astype(np.float32)
        physics = physics * torch.from_numpy(factor)
        physics[torch.from_numpy(rng.random(count) < dropout)] = torch.nan
        future = future.masked_fill(ended[..., None], torch.nan)
        tokens, pose = self._hidden(now[:, 0], hands[:, 0], exists, rng)
        label = torch.from_numpy(self._label[after, hands])
        return Observed(frames, physics, exists, tokens, pose), Chunks(label, known, future)

    def _hidden(
        self,
        rows: NDArray[np.int64],
        hands: NDArray[np.int64],
        exists: Tensor,
        rng: np.random.Generator,
    ) -> tuple[Tensor | None, Tensor | None]:
        """Tokens (N, V, T) and which pose tokens are shown (N, FRAMES), one or both of them."""
        if self._tokens is None:
            return None, None
        tokens = self._tokens[rows, hands].astype(np.float32)
        draw = rng.random(len(rows))
        tokens[draw < HIDDEN] = np.nan
        seen = np.isfinite(tokens).all(axis=(1, 2))
        shown = torch.from_numpy((draw < 1 - HIDDEN) | ~seen).float()
        return torch.from_numpy(tokens), exists * shown[:, None]
