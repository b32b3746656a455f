"""One configuration of hand and object: all that a renderer needs to know."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class State:
    """Joint angles of the hand and the pose of the object."""

    joints: NDArray[np.float64]
    """Joint angles (24,) in radians, in the order of `names.JOINTS`."""
    position: NDArray[np.float64]
    """The object's centre (3,) in metres, in the hand frame."""
    quaternion: NDArray[np.float64]
    """The object's orientation (4,), w >= 0, in the hand frame."""

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able form."""
        return {
            "joints": self.joints.tolist(),
            "position": self.position.tolist(),
            "quaternion": self.quaternion.tolist(),
        }

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> "State":
        """The inverse of `to_dict`."""
        return cls(*(np.array(value[key], dtype=np.float64) for key in cls.__annotations__))
