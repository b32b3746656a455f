"""What plans of action chunks have in common: inputs, normalisation, loss, and execution.

A driver observes the last frames and plans the next actions at once. Actions are positions in the
actuators' ranges, from -1 to 1.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from opendactyl.models.choices import FRAMES
from opendactyl.models.policy.normalizer import Normalizer

PHYSICS = ("touch", "forces")
"""Fields of the physics stream; NaN where a hand does not measure them."""
MEMORY = ("past", "chunk", "step")
"""What a driver carries from one action to the next."""
SAME_GOAL = 1e-6
"""Largest difference of the components of two equal goals."""


class Observed(NamedTuple):
    """What a driver plans from, for a batch of B."""

    frames: Tensor
    """Observations (B, FRAMES, n) without the physics fields, the current one last."""
    physics: Tensor
    """The physics fields (B, F + A) of the current one."""
    exists: Tensor
    """Whether the episode had begun (B, FRAMES); 1 for the current frame."""
    tokens: Tensor | None = None
    """The estimator's tokens (B, V, T), NaN for views without; None: a driver without this input.
    """
    pose: Tensor | None = None
    """Whether pose tokens are observed (B, FRAMES); None: where frames exist."""


class Chunks(NamedTuple):
    """What is learned, for a batch of B."""

    actions: Tensor
    """Actions (B, C, A) of the teacher, the first for the current observation."""
    known: Tensor
    """Which of them belong to the current goal (B, C)."""
    physics: Tensor
    """The physics fields after each action (B, C, F + A); NaN where they are not measured."""


class ChunkNetwork(nn.Module):
    """Base of the networks: splits and normalises observations."""

    def __init__(self, fields: Mapping[str, int], actuators: int, chunk: int) -> None:
        """Takes the sizes of the observation's fields in order, physics last; A; and C."""
        super().__init__()
        self.fields = {name: size for name, size in fields.items() if name not in PHYSICS}
        self.physics_fields = {name: fields[name] for name in PHYSICS}
        self.actuators, self.chunk = actuators, chunk
        self.normalizer = Normalizer(sum(self.fields.values()))
        self.physics_normalizer = Normalizer(sum(self.physics_fields.values()))

    def slice_of(self, field: str) -> slice:
        """Where a field lies in an observation."""
        names = list(self.fields)
        start = sum(self.fields[name] for name in names[: names.index(field)])
        return slice(start, start + self.fields[field])

    @torch.no_grad()
    def update_normalizers(self, frames: Tensor, physics: Tensor) -> None:
        """Updates the moments with observations (N, n) and physics (N, F + A)."""
        self.normalizer.update(frames)
        measured = physics[physics.isfinite().all(dim=-1)]
        if len(measured):
            self.physics_normalizer.update(compressed(measured))

    def split(self, frames: Tensor) -> dict[str, Tensor]:
        """Normalised fields of frames (..., n)."""
        values = self.normalizer(frames).split(list(self.fields.values()), dim=-1)
        return dict(zip(self.fields, values, strict=True))

    def split_physics(self, physics: Tensor) -> dict[str, Tensor]:
        """Normalised physics fields (..., size), NaN where they are not measured."""
        normal = self.physics_normalizer(compressed(physics))
        values = normal.split(list(self.physics_fields.values()), dim=-1)
        return dict(zip(self.physics_fields, values, strict=True))

    def plan(self, observed: Observed) -> Tensor:
        """The next actions (B, C, A), about -1 to 1."""
        raise NotImplementedError

    def losses(
        self, observed: Observed, chunks: Chunks, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """The losses of the actions and of the predicted physics."""
        raise NotImplementedError


def compressed(physics: Tensor) -> Tensor:
    """Physics on a logarithmic scale: impacts are a hundred times a grasp's forces."""
    return physics.sign() * torch.log1p(physics.abs())


def masked_mean(error: Tensor, known: Tensor) -> Tensor:
    """Mean of errors (B, C, A) over the known actions (B, C)."""
    return (error.mean(dim=-1) * known).sum() / known.sum().clamp(min=1.0)


class ChunkPolicy(nn.Module):
    """One action at a time from a network that plans chunks, with explicit memory.

    It plans after `execute` actions, and when the goal has changed.
    """

    def __init__(self, network: ChunkNetwork, execute: int, bins: int = 11) -> None:
        """Executes the first `execute` actions of each plan; actions are given in `bins` bins."""
        super().__init__()
        self.network, self.execute, self._scale = network, execute, (bins - 1) / 2
        self._goal = network.slice_of("goal_quaternion")
        self._quaternion = network.slice_of("object_quaternion")
        self.size = sum(network.fields.values())

    @property
    def memory(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of its memory without the batch; zero at the start of an episode."""
        network = self.network
        shapes = ((FRAMES - 1, self.size), (network.chunk, network.actuators), (1,))
        return dict(zip(MEMORY, shapes, strict=True))

    def continues(self, observation: Tensor, past: Tensor, step: Tensor) -> Tensor:
        """Whether each policy goes on with its plan (B, 1)."""
        change = observation[:, self._goal] - past[:, -1, self._goal]
        # NaN is no known goal, so that a plan shows it.
        return (change.abs().amax(dim=-1, keepdim=True) <= SAME_GOAL) & (step < self.execute)

    def observed(self, observation: Tensor, past: Tensor, tokens: Tensor | None = None) -> Observed:
        """What the network plans from: observations (B, n), and earlier ones (B, FRAMES - 1, n)."""
        current, physics = observation[:, : self.size], observation[:, self.size :]
        before = torch.linalg.vector_norm(past[..., self._quaternion], dim=-1) > 0.5
        exists = torch.cat([before, torch.ones_like(before[:, :1])], dim=1).to(past.dtype)
        return Observed(torch.cat([past, current[:, None]], dim=1), physics, exists, tokens)

    def forward(
        self,
        observation: Tensor,
        past: Tensor,
        chunk: Tensor,
        step: Tensor,
        tokens: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """One action of B policies.

        Args:
            observation: the observations (B, n), physics last.
            past: the earlier observations (B, FRAMES - 1, n), without physics.
            chunk: the plans (B, C, A).
            step: how many actions of them were executed (B, 1).
            tokens: the estimator's tokens (B, V, T), for networks that observe them.

        Returns:
            Bins (B, A), which may be fractional, and the memory after the action.
        """
        goes_on = self.continues(observation, past, step)
        planned = self.network.plan(self.observed(observation, past, tokens))
        chunk = torch.where(goes_on[..., None], chunk, planned)
        return self.advance(observation, past, chunk, torch.where(goes_on, step, 0.0))

    def advance(
        self, observation: Tensor, past: Tensor, chunk: Tensor, step: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Executes one action of the plans; arguments and results are those of `forward`."""
        last = self.network.chunk - 1
        index = step.long().clamp(max=last)[..., None].expand(-1, 1, chunk.shape[-1])
        action = chunk.gather(1, index)[:, 0]
        past = torch.cat([past[:, 1:], observation[:, None, : self.size]], dim=1)
        return (action.clamp(-1.0, 1.0) + 1.0) * self._scale, past, chunk, step + 1.0
