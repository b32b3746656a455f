"""Samples of other software at the image size of an estimator, each with its own cameras."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from opendactyl.datasets.foreign.samples import ForeignData, ForeignManifest
from opendactyl.geometry.rig import Rig
from opendactyl.geometry.rotation import Array
from opendactyl.vision.raw_frames import RawFrames

BATCH = 32
"""Batch size of inference."""


@lru_cache(maxsize=4)
def _view_maker(rig: Rig, size: int) -> tuple[Rig, RawFrames]:
    """The square views of a rig, and what makes their images from raw frames."""
    views = rig.views(size)
    return views, RawFrames(views, rig)


@dataclass(frozen=True, eq=False)
class ForeignDataset:
    """N samples of V views, with the attributes of `CachedDataset` that an evaluation uses.

    Pictures are undistorted, cut to the regions of interest and resized when they are needed.
    """

    data: ForeignData
    size: int
    """Width and height of the views in pixels, as in a `CachedDataset`."""

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.data.samples)

    @property
    def manifest(self) -> ForeignManifest:
        """The object, and where the samples are from."""
        return self.data.manifest

    @property
    def rig(self) -> Rig:
        """The cameras of the first sample's views."""
        return self.rigs[0]

    @cached_property
    def rigs(self) -> list[Rig]:
        """The cameras of each sample's views; neighbours with equal cameras share one object."""
        found: list[Rig] = []
        samples = self.data.samples
        for before, sample in zip([None, *samples], samples, strict=False):
            same = before is not None and before.rig is sample.rig
            found.append(found[-1] if same else sample.rig.views(self.size))
        return found

    @cached_property
    def position(self) -> Array:
        """(N, 3) in metres."""
        return np.stack([sample.position for sample in self.data.samples])

    @cached_property
    def quaternion(self) -> Array:
        """(N, 4)."""
        return np.stack([sample.quaternion for sample in self.data.samples])

    @cached_property
    def visible_fraction(self) -> Array:
        """(N, V); NaN where it is unknown."""
        return np.stack([sample.visible_fraction for sample in self.data.samples])

    @cached_property
    def hinges(self) -> Array:
        """Angles of the object's hinges (N, H); (N, 0) unless all are known."""
        angles = [sample.hinges for sample in self.data.samples]
        known = min(map(len, angles))
        return np.stack([angle[:known] for angle in angles])

    def views(self, index: int, size: int = 0) -> NDArray[np.uint8]:
        """The images (V, size, size, 3) of a sample; 0 is the size of `rig`.

        Raises:
            InputError: a picture is damaged, or not of its camera's size.
        """
        sample = self.data.samples[index]
        _, frames = _view_maker(sample.rig, size or self.size)
        return frames.images(sample.frames())

    def batches(self, size: int, count: int) -> Iterator[tuple[NDArray[np.uint8], Rig]]:
        """Batches (B, V, size, size, 3) of the first samples, and the cameras of each batch."""
        samples = self.data.samples
        for _, group in itertools.groupby(range(count), key=lambda i: id(samples[i].rig)):
            while some := list(itertools.islice(group, BATCH)):
                rig, _ = _view_maker(samples[some[0]].rig, size)
                yield np.stack([self.views(i, size) for i in some]), rig
