"""What readers of other formats return: pictures, their cameras, and the poses of an object."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from opendactyl.core.errors import InputError
from opendactyl.datasets.foreign.pictures import read_picture
from opendactyl.geometry.articulation import Articulation
from opendactyl.geometry.rig import Rig
from opendactyl.geometry.rotation import Array
from opendactyl.geometry.symmetry import SymmetryGroup
from opendactyl.sim.assets.storage import stored_name, stored_reference
from opendactyl.sim.objects.shipped import object_of, object_spec
from opendactyl.sim.objects.spec import ObjectSpec


@dataclass(frozen=True, eq=False)
class ForeignSample:
    """Simultaneous pictures of V cameras, and the pose of the object in the frame of the rig."""

    name: str
    """What the messages call it."""
    rig: Rig
    """The cameras of the pictures; samples with equal cameras share it."""
    pictures: tuple[Path, ...]
    """The file of each camera."""
    position: Array
    """(3,) in metres."""
    quaternion: Array
    """(4,), w >= 0."""
    visible_fraction: Array
    """Visible fraction of the object in each view (V,); NaN where it is unknown."""
    hinges: Array
    """Angles of the object's hinges (H,); (0,) if they are unknown."""

    def frames(self) -> list[NDArray[np.uint8]]:
        """The pictures (H, W, 3), RGB.

        Raises:
            InputError: one is damaged.
        """
        frames = []
        for picture in self.pictures:
            frame = read_picture(picture)
            if frame is None:
                raise InputError(f"{picture} of {self.name} is damaged; restore or remove it")
            frames.append(frame)
        return frames


@dataclass(frozen=True, eq=False)
class ForeignManifest:
    """What an evaluation takes from the manifest of a dataset, here of another format."""

    format: str
    """`bop` or `pictures`."""
    name: str
    """Name of the folder, and of its part if there are several."""
    obj: ObjectSpec
    """The object of the estimator, which the reader found in the data."""
    config_hash: str
    """Hash of the poses and cameras."""

    @property
    def object(self) -> str:
        """Name of the object."""
        return self.obj.name

    @property
    def keypoints(self) -> list[list[float]]:
        """As `Manifest.keypoints`."""
        return self.obj.keypoints.tolist()

    @property
    def num_corners(self) -> int:
        """As `Manifest.num_corners`."""
        return self.obj.num_corners

    @property
    def articulation(self) -> Articulation:
        """The keypoints, and the hinges that move them."""
        return self.obj.articulation

    def load_symmetry(self) -> SymmetryGroup:
        """The object's rotational symmetry."""
        return self.obj.symmetry

    def origin(self) -> dict[str, Any]:
        """Where the samples are from, for the settings of an evaluation: there is no seed."""
        states = f"{self.format}:{self.name}"
        return {"format": self.format, "states": states, "renderer": None, "seed": None}


@dataclass(frozen=True, eq=False)
class ForeignData:
    """The content of a dataset of another format."""

    manifest: ForeignManifest
    samples: list[ForeignSample]
    """The samples, at least one, all with the same number of views."""
    notes: tuple[str, ...] = ()
    """What the user should know about it, in lines."""


def estimated_object(model: Path, keypoints: ArrayLike) -> ObjectSpec:
    """The object of an estimator.

    Args:
        model: its run or bundle, which holds the files of an object that is not shipped.
        keypoints: its keypoints (K + F, 3).

    Raises:
        InputError: the object is unknown.
        EnvironmentFailure: the disk failed.
    """
    name = stored_name(model, "object") or object_of(keypoints)
    if name is None:
        raise InputError(
            f"{model} does not hold the description of its object; name a run or bundle that was "
            "made with this version"
        )
    return object_spec(stored_reference(model, "object", name))
