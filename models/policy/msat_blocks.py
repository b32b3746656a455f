"""Blocks of the multi-stream action transformer: streams of their own, one attention for all."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

HEADS = 4
MLP_RATIO = 3
"""Units of a hidden layer per channel."""


class Stream(nn.Module):
    """The norms, projections and MLP of one stream in one block."""

    def __init__(self, width: int) -> None:
        """Builds them for tokens of `width` channels."""
        super().__init__()
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.project, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, MLP_RATIO * width), nn.GELU(), nn.Linear(MLP_RATIO * width, width)
        )

    def queries(self, x: Tensor) -> Tensor:
        """Queries, keys and values (B, N, 3 C) of the stream's tokens (B, N, C)."""
        return self.project(self.before(x))

    def forward(self, x: Tensor, heard: Tensor) -> Tensor:
        """Updates the stream's tokens (B, N, C) by what they attended to (B, N, C)."""
        x = x + self.out(heard)
        return x + self.mlp(self.after(x))


class JointBlock(nn.Module):
    """Attention over the concatenated tokens of all streams, with weights per stream."""

    def __init__(self, width: int, streams: int) -> None:
        """Builds a block of `streams` streams."""
        super().__init__()
        self.streams: Sequence[Stream]
        self.streams = nn.ModuleList([Stream(width) for _ in range(streams)])  # pyright: ignore

    def forward(self, x: Tensor, sizes: Sequence[int], bias: Tensor) -> Tensor:
        """Updates tokens (B, N, C).

        Args:
            x: the tokens of the streams, one stream after the other.
            sizes: number of tokens of each stream.
            bias: added to the scores of each key (B, 1, 1, N): 0, or far below for masked tokens.
        """
        groups = list(zip(self.streams, x.split(list(sizes), dim=1), strict=True))
        joint = torch.cat([stream.queries(part) for stream, part in groups], dim=1)
        q, k, v = (p.unflatten(-1, (HEADS, -1)).transpose(1, 2) for p in joint.chunk(3, dim=-1))
        weights = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5 + bias).softmax(dim=-1)
        heard = (weights @ v).transpose(1, 2).flatten(-2).split(list(sizes), dim=1)
        updated = [s(part, values) for (s, part), values in zip(groups, heard, strict=True)]
        return torch.cat(updated, dim=1)


def time_features(time: Tensor, width: int) -> Tensor:
    """Sines and cosines (B, width) of flow times (B,) from 0 to 1."""
    frequencies = torch.logspace(0, 2, width // 2, device=time.device)
    angles = time[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=-1)
