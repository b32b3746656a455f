"""What a pose network knows of the object's position before it sees an image."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

SCALE, UNIT = 2.0, 2 / 3
"""`PosePriors.scale` and `.unit` in standard deviations of the position. With the settled states of
the shipped hand they give 31 and 10 mm, close to the constants of earlier versions."""
LEAST_STD = 1e-3
"""Smallest standard deviation that is used, in metres: positions may be constant along an axis."""


@dataclass(frozen=True, kw_only=True)
class PosePriors:
    """Centre and scales of the object's position, in metres, in the frame of the poses.

    The defaults are the constants of versions that did not take them from the data.
    """

    centre: tuple[float, float, float] = (-0.01, 0.0, 0.01)
    """Mean position, of which dense heads predict the offset."""
    scale: tuple[float, float, float] = (0.03, 0.03, 0.03)
    """Unit of that offset along each axis."""
    reach: float = 0.1
    """Standard deviation of the weak prior of a keypoint around the centre, per axis."""
    unit: float = 0.01
    """Unit of position errors in the loss."""

    @classmethod
    def of(
        cls,
        mean: ArrayLike,
        std: ArrayLike,
        depths: Sequence[tuple[float, float]],
        points: ArrayLike,
    ) -> Self:
        """The priors of training data.

        Args:
            mean: mean of the object's position (3,).
            std: its standard deviations (3,).
            depths: smallest and largest depth of the object's centre, for each camera.
            points: keypoints of the object (K, 3), object frame.
        """
        spread = np.maximum(np.asarray(std, dtype=float), LEAST_STD)
        radius = np.linalg.norm(np.asarray(points), axis=-1).max()
        x, y, z = np.asarray(mean, dtype=float).tolist()
        a, b, c = (SCALE * spread).tolist()
        return cls(
            centre=(x, y, z),
            scale=(a, b, c),
            reach=float(max(far - near for near, far in depths) / 2 + radius),
            unit=float(UNIT * np.sqrt(np.mean(spread**2))),
        )

    def box(self) -> tuple[list[float], list[float]]:
        """Lower and upper corner (3,) of the space that holds most positions."""
        centre, scale = np.array(self.centre), np.array(self.scale)
        return (centre - scale).tolist(), (centre + scale).tolist()

    def to_dict(self) -> dict[str, Any]:
        """JSON-serialisable form."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, value: dict[str, Any] | None) -> Self:
        """Inverse of `to_dict`; None gives the defaults."""
        fields: dict[str, Any] = {
            name: tuple(v) if isinstance(v, list) else v for name, v in (value or {}).items()
        }
        return cls(**fields)


FORMER = PosePriors()
"""The constants of earlier versions."""


class PositionPrior(nn.Module):
    """The priors as buffers, so that weights carry the scale of their outputs.

    Weights of versions without these buffers load with the constants of those versions.
    """

    centre: Tensor
    scale: Tensor
    reach: Tensor

    def __init__(self, priors: PosePriors) -> None:
        """Registers centre (3,), scale (3,) and reach ()."""
        super().__init__()
        for name, value in _buffers(priors).items():
            self.register_buffer(name, value)
        self.register_load_state_dict_pre_hook(_add_former_constants)

    def values(self) -> dict[str, Any]:
        """The entries of `PosePriors.to_dict` that are stored here."""
        return {name: buffer.tolist() for name, buffer in self.named_buffers()}


def _buffers(priors: PosePriors) -> dict[str, Tensor]:
    return {name: torch.tensor(getattr(priors, name)) for name in ("centre", "scale", "reach")}


def _add_former_constants(
    module: nn.Module, state_dict: dict[str, Tensor], prefix: str, *_: Any
) -> None:
    for name, value in _buffers(FORMER).items():
        state_dict.setdefault(prefix + name, value)


def prior_of(network: nn.Module) -> PositionPrior:
    """The priors of a pose network."""
    return next(part for part in network.modules() if isinstance(part, PositionPrior))
