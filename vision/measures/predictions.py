"""Estimates and true poses of a dataset's samples."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from opendactyl.core.errors import EnvironmentFailure
from opendactyl.core.run_dir import Forecast
from opendactyl.datasets.loading.cache import CachedDataset
from opendactyl.geometry.articulation import wrap_angle
from opendactyl.geometry.rig import Rig
from opendactyl.geometry.rotation import Array, geodesic_angle
from opendactyl.models.pose.networks.two_stage import REDUCTION
from opendactyl.vision.measures.foreign import BATCH, ForeignDataset

Data = CachedDataset | ForeignDataset
LARGEST_VIEW = 200
"""Images above this size, in pixels, are decoded when they are needed, not cached."""


@dataclass(frozen=True, eq=False)
class HingePredictions:
    """Estimated and true angles of H hinges in N samples."""

    names: tuple[str, ...]
    """Names of the hinges."""
    angles: Array
    """Estimated (N, H) in radians."""
    std: Array
    """Their standard deviations (N, H)."""
    true_angles: Array
    """(N, H)."""

    @property
    def error(self) -> Array:
        """Errors (N, H) in radians, from −π to π."""
        return wrap_angle(self.angles - self.true_angles)

    @property
    def error_deg(self) -> Array:
        """Absolute errors (N, H) in degrees."""
        return np.rad2deg(np.abs(self.error))


@dataclass(frozen=True, eq=False)
class Predictions:
    """Estimates and true poses of N samples, in the hand frame."""

    position: Array
    """Estimated (N, 3) in metres."""
    quaternion: Array
    """Estimated (N, 4)."""
    covariance: Array
    """Estimated (N, 6, 6): position, then rotation vector in the hand frame."""
    true_position: Array
    """(N, 3) in metres."""
    true_quaternion: Array
    """(N, 4); of a symmetric object, the equivalent that is nearest to the estimate."""
    visible_fraction: Array
    """Fraction of the object's outline that is visible in each view (N, V); NaN if unknown."""
    hinges: HingePredictions | None = None
    """Angles of the object's hinges, if there are any."""

    @classmethod
    def of(
        cls,
        data: Data,
        position: Array,
        quaternion: Array,
        covariance: Array,
        angles: Array | None = None,
        angles_std: Array | None = None,
    ) -> "Predictions":
        """Combines estimates of the first samples of a dataset with their labels."""
        count = len(position)
        labels = (data.position, data.quaternion, data.visible_fraction)
        true_position, truth, visible = (v[:count].astype(np.float64) for v in labels)
        quaternion = quaternion.astype(np.float64)
        hinges = None
        if angles is not None and angles_std is not None and data.hinges.shape[1]:
            names = tuple(hinge.name for hinge in data.manifest.articulation.hinges)
            hinges = HingePredictions(
                names, angles, angles_std, data.hinges[:count].astype(np.float64)
            )
        return cls(
            position.astype(np.float64),
            quaternion,
            covariance.astype(np.float64),
            true_position,
            data.manifest.load_symmetry().equivalent(truth, quaternion),
            visible,
            hinges,
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
    """Estimates poses from images (B, V, H, W, 3)."""

    @property
    def any_cameras(self) -> bool:
        """Whether it works with other cameras than those of training."""
        ...

    @property
    def image_size(self) -> int:
        """Width and height of the input images."""
        ...

    @property
    def views(self) -> int:
        """Number of cameras."""
        ...

    def estimate_batch(
        self, images: NDArray[np.uint8], rig: Rig | None = None
    ) -> tuple[NDArray[Any], ...]:
        """Positions (B, 3), quaternions (B, 4), covariances (B, 6, 6).

        Of an object with hinges, also their angles and the standard deviations of these (B, H).

        Args:
            images: the images.
            rig: their cameras, if it works with any; None: those that it was opened with.
        """
        ...


def cached_size(model: BatchEstimator) -> int:
    """The image size at which to open a dataset for a model."""
    size = model.image_size
    return size if size <= LARGEST_VIEW else size // REDUCTION


def views_of(
    data: CachedDataset, size: int, count: int, batch: int = BATCH
) -> Iterator[NDArray[np.uint8]]:
    """Batches (`batch`, V, size, size, 3) of the first `count` samples.

    Those of the cache if they have the size; larger ones are decoded as they are needed.
    """
    if data.images.shape[2] == size:
        for start in range(0, count, batch):
            yield np.array(data.images[start : min(start + batch, count)])
    else:
        frames = data.frames(size, count)
        while some := list(itertools.islice(frames, batch)):
            yield np.stack(some)


def batches_of(data: Data, size: int, count: int) -> Iterator[tuple[NDArray[np.uint8], Rig | None]]:
    """As `views_of`, with the cameras of each batch where they are those of the samples."""
    if isinstance(data, ForeignDataset):
        return data.batches(size, count)
    return ((images, None) for images in views_of(data, size, count))


def predict(
    model: BatchEstimator,
    data: Data,
    count: int,
    forecast: Forecast | None = None,
    effects: Callable[[NDArray[np.uint8]], NDArray[np.uint8]] | None = None,
) -> Predictions:
    """Estimates the first `count` samples of a dataset.

    Args:
        model: the estimator.
        data: the dataset.
        count: number of samples.
        forecast: announces the time.
        effects: changes images (B, V, H, W, 3) before they are estimated.

    Raises:
        EnvironmentFailure: an estimate is not finite: the training of the network diverged.
    """
    batches = []
    with tqdm(total=count, unit="sample", desc="evaluating", leave=False) as bar:
        for images, rig in batches_of(data, model.image_size, count):
            changed = images if effects is None else effects(images)
            batches.append(model.estimate_batch(changed, rig))
            bar.update(len(images))
            if forecast is not None:
                forecast.update(bar.n)
    columns = [np.concatenate(column) for column in zip(*batches, strict=True)]
    if not all(np.isfinite(column).all() for column in columns):
        raise EnvironmentFailure(
            "the estimates are not finite: the training of this network diverged; train it again "
            "with a smaller --learning-rate"
        )
    return Predictions.of(data, *columns)
