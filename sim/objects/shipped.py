"""The objects: shipped ones by name, from `configs/objects`, and those of a TOML file."""

import dataclasses
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from opendactyl.sim.assets.descriptions import finder
from opendactyl.sim.objects.load import load_object
from opendactyl.sim.objects.spec import ObjectSpec


def _shipped() -> dict[str, ObjectSpec]:
    folder = Path(str(resources.files("opendactyl.configs") / "objects"))
    specs = (load_object(path) for path in sorted(folder.glob("*.toml")))
    return {spec.name: dataclasses.replace(spec, files=None) for spec in specs}


OBJECTS: dict[str, ObjectSpec] = _shipped()
"""The shipped objects by name."""
_find = finder("object", OBJECTS, load_object, OBJECTS, "a shipped object")


def object_spec(name: str) -> ObjectSpec:
    """A shipped object by name, or the object of a TOML file (see `docs/objects.md`).

    Raises:
        InputError: no such object, or its file cannot be used.
        EnvironmentFailure: the disk failed.
    """
    return _find(name)


def object_of(keypoints: ArrayLike) -> str | None:
    """Name of the shipped object with the given keypoints (K + F, 3), or None.

    A user's object may have the same: a run or dataset of one holds its files (`stored_name`).
    """
    points = np.asarray(keypoints)
    for name, spec in OBJECTS.items():
        if spec.keypoints.shape == points.shape and np.allclose(spec.keypoints, points, atol=1e-6):
            return name
    return None
