"""Description of an object: a convex solid with coloured, lettered faces."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Face:
    """One flat face of an object."""

    letter: str
    """The letter on the face, a key of `letters.STROKES`."""
    rgb: tuple[float, float, float]
    """Nominal colour, sRGB in [0, 1]."""
    frame: NDArray[np.float64]
    """object_from_face (4, 4): origin at the face centre, z outward, y towards the letter's top."""
    half_size: tuple[float, float]
    """Half the width (x) and height (y) of the lettered rectangle, in metres."""


@dataclass(frozen=True, eq=False)
class ObjectSpec:
    """A convex object."""

    name: str
    """Name of the object, as in `--object`."""
    mass: float
    """Mass in kilograms."""
    corners: NDArray[np.float64]
    """Vertices (K, 3) in the object frame, in metres. Labels depend on their order."""
    faces: tuple[Face, ...]
    """Coloured faces."""
    is_box: bool
    """Whether the object is an axis-aligned box (a primitive shape in MuJoCo)."""

    @cached_property
    def half_extent(self) -> NDArray[np.float64]:
        """Half the side lengths (3,) of the bounding box, in metres."""
        return np.abs(self.corners).max(axis=0)

    @cached_property
    def face_centres(self) -> NDArray[np.float64]:
        """Centres (F, 3) of the faces in the object frame, in metres."""
        return np.stack([face.frame[:3, 3] for face in self.faces])

    @property
    def keypoints(self) -> NDArray[np.float64]:
        """Corners, then face centres (K + F, 3) in the object frame, in metres."""
        return np.concatenate([self.corners, self.face_centres])


def face_frame(centre: NDArray[np.float64], up: NDArray[np.float64]) -> NDArray[np.float64]:
    """object_from_face (4, 4) of a face at `centre`, whose normal points away from the origin."""
    normal = centre / np.linalg.norm(centre)
    frame = np.eye(4)
    frame[:3, :3] = np.stack([np.cross(up, normal), up, normal], axis=-1)
    frame[:3, 3] = centre
    return frame
