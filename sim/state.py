"""State of hand and object, the input of a renderer."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class State:
    """Joint angles of the hand and pose of the object."""

    joints: NDArray[np.float64]
    """Joint angles (J,) in radians, in the order of `HandSpec.joints`."""
    position: NDArray[np.float64]
    """Position (3,) of the object's centre in the hand frame, in metres."""
    quaternion: NDArray[np.float64]
    """Orientation (4,) of the object in the hand frame, w >= 0."""
    hinges: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    """Angles (H,) of the object's hinges in radians; none: they are at rest."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-serialisable form."""
        return {name: getattr(self, name).tolist() for name in self.__annotations__}

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> "State":
        """Inverse of `to_dict`."""
        return cls(*(np.array(value[key], dtype=np.float64) for key in cls.__annotations__))
