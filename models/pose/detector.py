"""Detection of landmarks in images: an hourglass, a spatial softmax, and a certainty of each."""

import torch
from torch import Tensor, nn

from opendactyl.models.pose.blocks import CONTEXT, Hourglass, SpatialSoftmax
from opendactyl.models.pose.outputs import MAX_LOG_STD, MIN_LOG_STD

HIDDEN, FIRST_LOG_STD = 128, -3.0
"""Width of the layer behind the certainty, and its first estimate."""


class Detector(nn.Module):
    """Base of networks that detect landmarks, in every view alike."""

    def __init__(self, landmarks: int, supervised: int) -> None:
        """Builds the layers.

        Args:
            landmarks: number of landmarks L.
            supervised: number of the first of them whose certainty is estimated, K.
        """
        super().__init__()
        self.tower = Hourglass(landmarks)
        self.softmax = SpatialSoftmax(landmarks)
        self.certainty = nn.Sequential(
            nn.Linear(CONTEXT + landmarks, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, supervised)
        )
        with torch.no_grad():
            self.certainty[2].bias.fill_(FIRST_LOG_STD)  # pyright: ignore

    def detect(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Detects landmarks in normalised images (N, 3, H, W).

        Returns:
            Image points (N, L, 2), 0 to 1 across the image; log standard deviations (N, K) per
            axis; and the features (N, L + CONTEXT) that these follow from.
        """
        maps, context = self.tower(images)
        with torch.autocast(images.device.type, enabled=False):
            points, peaks = self.softmax(maps.float())
            confidence = torch.cat([torch.log(peaks + 1e-6), context.float()], dim=1)
            log_std = self.certainty(confidence).clamp(MIN_LOG_STD, MAX_LOG_STD)
            return points, log_std, confidence
