"""Estimates of a dataset's samples beside the truth."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from opendactyl.core.errors import InputError
from opendactyl.datasets.loading.cache import CachedDataset
from opendactyl.geometry.rotation import Array, geodesic_angle

BATCH = 32
"""Samples that are estimated at once."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """Estimates of N samples beside the truth, in the hand frame."""

    position: Array
    """Estimated (N, 3) in metres."""
    quaternion: Array
    """Estimated (N, 4)."""
    covariance: Array
    """Estimated (N, 6, 6): position, then rotation vector in the hand frame."""
    true_position: Array
    """(N, 3) in metres."""
    true_quaternion: Array
    """(N, 4)."""
    visible_fraction: Array
    """Share of the object's outline that each camera sees (N, V)."""

    @classmethod
    def of(
        cls, data: CachedDataset, position: Array, quaternion: Array, covariance: Array
    ) -> "Predictions":
        """Estimates of the first samples of a dataset beside their labels."""
        count = len(position)
        truth = (data.position, data.quaternion, data.visible_fraction)
        return cls(
            position.astype(np.float64),
            quaternion.astype(np.float64),
            covariance.astype(np.float64),
            *(values[:count].astype(np.float64) for values in truth),
        )

    @property
    def rotation_error_deg(self) -> Array:
        """Geodesic angles (N,) in degrees."""
        return np.rad2deg(geodesic_angle(self.quaternion, self.true_quaternion))

    @property
    def position_error_mm(self) -> Array:
        """Euclidean distances (N,) in millimetres."""
        return np.linalg.norm(self.position - self.true_position, axis=-1) * 1000


class BatchEstimator(Protocol):
    """Anything that estimates poses of images (B, V, H, W, 3)."""

    @property
    def image_size(self) -> int:
        """Width and height of the images it takes."""
        ...

    @property
    def views(self) -> int:
        """How many cameras it takes."""
        ...

    def estimate_batch(
        self, images: NDArray[np.uint8]
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Positions (B, 3), quaternions (B, 4), covariances (B, 6, 6)."""
        ...


def predict(model: BatchEstimator, data: CachedDataset, count: int) -> Predictions:
    """Estimates the first `count` samples of a dataset.

    Raises:
        InputError: the network's answers are no numbers.
    """
    parts = []
    with tqdm(total=count, unit="sample", desc="evaluating", leave=False) as bar:
        for start in range(0, count, BATCH):
            images = np.array(data.images[start : min(start + BATCH, count)])
            parts.append(model.estimate_batch(images))
            bar.update(len(images))
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    if not all(np.isfinite(column).all() for column in columns):
        raise InputError(
            "the estimates are not finite: the network has diverged; train it again with a smaller "
            "--learning-rate"
        )
    return Predictions.of(data, *columns)
