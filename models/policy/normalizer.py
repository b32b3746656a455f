"""Running normalisation as a part of the network, and so of every export."""

import torch
from torch import Tensor, nn

MAX_COUNT = 1e6
"""Samples that the earlier moments count for at most, so that they follow newer data."""


class Normalizer(nn.Module):
    """Subtracts a running mean, divides by a running standard deviation, clips (D18 D.1)."""

    mean: Tensor
    var: Tensor
    count: Tensor

    def __init__(self, size: int, clip: float = 5.0) -> None:
        """Starts as the identity for vectors of length `size`."""
        super().__init__()
        self.clip = clip
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("var", torch.ones(size))
        self.register_buffer("count", torch.tensor(1e-2))

    def forward(self, x: Tensor) -> Tensor:
        """Normalised values of the same shape (..., size)."""
        return ((x - self.mean) * torch.rsqrt(self.var + 1e-6)).clamp(-self.clip, self.clip)

    @torch.no_grad()
    def update(self, x: Tensor) -> None:
        """Updates the running moments with a batch (..., size) (Chan et al. 1983)."""
        x = x.reshape(-1, x.shape[-1])
        mean, var, count = x.mean(dim=0), x.var(dim=0, correction=0), x.shape[0]
        self.count.clamp_(max=MAX_COUNT)
        total = self.count + count
        delta = mean - self.mean
        square = self.var * self.count + var * count + delta**2 * self.count * count / total
        self.mean += delta * count / total
        self.var.copy_(square / total)
        self.count.copy_(total)

    def inverse(self, y: Tensor) -> Tensor:
        """Values (..., size) from normalised ones."""
        return y * torch.sqrt(self.var + 1e-6) + self.mean
