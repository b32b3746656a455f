"""Building blocks of the pose networks."""

import torch
from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions with batch normalisation, and a short cut."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        """From `inputs` to `outputs` channels, at a stride."""
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, 1, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.short = (
            nn.Identity()
            if stride == 1 and inputs == outputs
            else nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        return torch.relu(self.body(x) + self.short(x))


class SpatialSoftmax(nn.Module):
    """The expected place of each channel's activation (Levine et al. 2016, arXiv 1504.00702)."""

    def __init__(self, channels: int) -> None:
        """One learned temperature for each of `channels`."""
        super().__init__()
        self.log_temperature = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Places and peaks of maps (B, C, H, W).

        Returns:
            Places (B, C, 2), x then y, from 0 to 1 across the map; and the largest share of the
            softmax (B, C), which says how sure a channel is.
        """
        height, width = x.shape[-2:]
        logits = x.float().flatten(2) * self.log_temperature.exp()[:, None]
        weights = torch.softmax(logits, dim=-1).unflatten(-1, (height, width))
        across = (torch.arange(width, device=x.device) + 0.5) / width
        down = (torch.arange(height, device=x.device) + 0.5) / height
        place_x = (weights.sum(dim=2) * across).sum(dim=-1)
        place_y = (weights.sum(dim=3) * down).sum(dim=-1)
        peak = weights.flatten(2).amax(dim=-1)
        return torch.stack([place_x, place_y], dim=-1), peak
