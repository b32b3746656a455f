"""A feed-forward network that plans action chunks without flow, for comparison."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from opendactyl.models.choices import FRAMES
from opendactyl.models.policy.chunks import ChunkNetwork, Chunks, Observed, masked_mean


class ChunkMLP(ChunkNetwork):
    """Regresses chunks from the frames and the physics."""

    def __init__(
        self, fields: Mapping[str, int], actuators: int, *, chunk: int = 8, hidden: int = 832
    ) -> None:
        """Builds three hidden layers; as many parameters as the action transformer."""
        super().__init__(fields, actuators, chunk)
        inputs = FRAMES * sum(self.fields.values()) + 2 * sum(self.physics_fields.values())
        self.layers = nn.Sequential(
            nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(),
            nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, chunk * actuators),
        )  # fmt: skip

    def plan(self, observed: Observed) -> Tensor:
        """The chunk (B, C, A)."""
        frames = self.normalizer(observed.frames) * observed.exists[..., None]
        physics = torch.cat(list(self.split_physics(observed.physics).values()), dim=-1)
        values = [frames.flatten(1), torch.nan_to_num(physics), physics.isfinite().to(frames.dtype)]
        return self.layers(torch.cat(values, dim=-1)).unflatten(-1, (self.chunk, self.actuators))

    def losses(
        self, observed: Observed, chunks: Chunks, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """The squared errors of the actions; no physics is predicted."""
        error = (self.plan(observed) - chunks.actions).square()
        return masked_mean(error, chunks.known), error.new_zeros(())
