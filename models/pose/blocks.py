"""Building blocks of the pose networks."""

import torch
from torch import Tensor, nn
from torch.nn import functional

CONTEXT = 96
"""Channels of the coarsest map, whose mean is a feature beside the landmarks."""


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions with batch normalisation and a skip connection."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        """Maps `inputs` to `outputs` channels."""
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
    """The expected image point of each channel (Levine et al. 2016, arXiv 1504.00702)."""

    def __init__(self, channels: int) -> None:
        """Creates one learned temperature per channel."""
        super().__init__()
        self.log_temperature = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Computes image points of maps (B, C, H, W).

        Returns:
            Points (B, C, 2), x then y, from 0 to 1 across the map; and the peak of the softmax
            (B, C), a measure of confidence.
        """
        height, width = x.shape[-2:]
        logits = x.float().flatten(2) * self.log_temperature.exp()[:, None]
        weights = torch.softmax(logits, dim=-1).unflatten(-1, (height, width))
        columns = (torch.arange(width, device=x.device) + 0.5) / width
        rows = (torch.arange(height, device=x.device) + 0.5) / height
        mean_x = (weights.sum(dim=2) * columns).sum(dim=-1)
        mean_y = (weights.sum(dim=3) * rows).sum(dim=-1)
        peak = weights.flatten(2).amax(dim=-1)
        return torch.stack([mean_x, mean_y], dim=-1), peak


class Hourglass(nn.Module):
    """Downsamples images to a sixteenth and upsamples the features to a quarter of their size."""

    def __init__(self, landmarks: int) -> None:
        """Creates one heat map per landmark."""
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 24, 5, 2, padding=2, bias=False), nn.BatchNorm2d(24), nn.ReLU(inplace=True)
        )
        self.quarter = nn.Sequential(ResidualBlock(24, 48, 2), ResidualBlock(48, 48))
        self.eighth = nn.Sequential(ResidualBlock(48, 96, 2), ResidualBlock(96, 96))
        self.sixteenth = nn.Sequential(
            ResidualBlock(96, 96, 2), ResidualBlock(96, 96), ResidualBlock(96, CONTEXT)
        )
        self.join_eighth = ResidualBlock(96, 96)
        self.lift = nn.Conv2d(96, 48, 1)
        self.join_quarter = ResidualBlock(48, 48)
        self.maps = nn.Conv2d(48, landmarks, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Heat maps (N, L, H / 4, W / 4) and context (N, CONTEXT) of images (N, 3, H, W)."""
        quarter = self.quarter(self.stem(x))
        eighth = self.eighth(quarter)
        coarse = self.sixteenth(eighth)
        eighth = self.join_eighth(eighth + _upsampled(coarse, eighth))
        quarter = self.join_quarter(quarter + self.lift(_upsampled(eighth, quarter)))
        return self.maps(quarter), coarse.mean(dim=(2, 3))


def _upsampled(x: Tensor, like: Tensor) -> Tensor:
    """A coarse map on the grid of a finer one, by nearest neighbours."""
    return functional.interpolate(x, size=like.shape[-2:], mode="nearest")


def standardize(images: Tensor) -> Tensor:
    """Images (B, V, H, W, 3) to (B*V, 3, H, W) with zero mean and unit variance (D18 C.2)."""
    return normalize(channels_first(images))


def channels_first(images: Tensor) -> Tensor:
    """Images (B, V, H, W, 3) of any type to floats (B*V, 3, H, W)."""
    return images.flatten(0, 1).permute(0, 3, 1, 2).float()


def normalize(x: Tensor) -> Tensor:
    """Images (N, 3, H, W) with zero mean and unit variance each."""
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    square = (x * x).mean(dim=(1, 2, 3), keepdim=True) - mean * mean
    x = (x - mean) * torch.rsqrt(square.clamp_min(1.0))
    return x.contiguous(memory_format=torch.channels_last)
