"""Statistics of a dataset's labels, from which networks take the scale of their outputs."""

from collections.abc import Sequence
from typing import Annotated, Self

import numpy as np
from numpy.typing import ArrayLike
from pydantic import ConfigDict, Field, FiniteFloat
from pydantic.dataclasses import dataclass

from opendactyl.geometry.rig import Rig

Vector = tuple[FiniteFloat, FiniteFloat, FiniteFloat]
_Std = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class LabelStatistics:
    """Where the object is, in metres."""

    samples: Annotated[int, Field(strict=True, ge=1)]
    position_mean: Vector
    """Mean of the object's position in the frame of the poses."""
    position_std: tuple[_Std, _Std, _Std]
    """Its standard deviations."""
    depth: dict[str, tuple[FiniteFloat, FiniteFloat]]
    """Smallest and largest depth of the object's centre, by the name of the nominal camera."""

    @classmethod
    def of(cls, positions: ArrayLike, rig: Rig) -> Self:
        """The statistics of positions (N, 3) and the nominal cameras."""
        positions = np.asarray(positions, dtype=np.float64)
        x, y, z = positions.mean(axis=0).tolist()
        a, b, c = positions.std(axis=0).tolist()
        depths = {camera.name: camera.project(positions)[1] for camera in rig.cameras}
        return cls(
            samples=len(positions),
            position_mean=(x, y, z),
            position_std=(a, b, c),
            depth={name: (float(d.min()), float(d.max())) for name, d in depths.items()},
        )

    @classmethod
    def pooled(cls, statistics: Sequence[Self]) -> Self:
        """The statistics of datasets of one rig that are used together."""
        counts = [one.samples for one in statistics]
        means, stds = (
            [getattr(one, name) for one in statistics] for name in ("position_mean", "position_std")
        )
        mean = np.average(means, axis=0, weights=counts)
        square = np.average(np.square(stds) + np.square(means - mean), axis=0, weights=counts)
        x, y, z = mean.tolist()
        a, b, c = np.sqrt(square).tolist()
        ranges = {
            name: np.array([one.depth[name] for one in statistics]) for name in statistics[0].depth
        }
        return cls(
            samples=sum(counts),
            position_mean=(x, y, z),
            position_std=(a, b, c),
            depth={n: (float(r[:, 0].min()), float(r[:, 1].max())) for n, r in ranges.items()},
        )
