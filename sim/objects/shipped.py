"""The objects: shipped ones by name, from `configs/objects`, and those of a TOML file."""

import dataclasses
import functools
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from opendactyl.core.errors import InputError
from opendactyl.sim.objects.load import load_object
from opendactyl.sim.objects.spec import ObjectSpec


def _shipped() -> dict[str, ObjectSpec]:
    folder = Path(str(resources.files("opendactyl.configs") / "objects"))
    specs = (load_object(path) for path in sorted(folder.glob("*.toml")))
    return {spec.name: dataclasses.replace(spec, files=None) for spec in specs}


OBJECTS: dict[str, ObjectSpec] = _shipped()
"""The shipped objects by name."""


def object_spec(name: str) -> ObjectSpec:
    """A shipped object by name, or the object of a TOML file (see `docs/objects.md`).

    Raises:
        InputError: no such object, or its file cannot be used.
        EnvironmentFailure: the disk failed.
    """
    if name in OBJECTS:
        return OBJECTS[name]
    path = Path(name).absolute()
    if path.suffix != ".toml" and not path.is_file():
        raise InputError(f"no object {name!r}; give a .toml file or one of {', '.join(OBJECTS)}")
    try:
        stat = path.stat()
    except OSError:
        return load_object(path)  # which reports the error
    return _loaded(path, stat.st_mtime_ns, stat.st_size)


@functools.lru_cache(maxsize=32)
def _loaded(path: Path, modified: int, size: int) -> ObjectSpec:
    """The object of a file, read once while the file does not change."""
    spec = load_object(path)
    if spec.name in OBJECTS:
        raise InputError(
            f"object {path}: its name, {spec.name!r}, is that of a shipped object; write another "
            "name into the file"
        )
    return spec


def object_of(keypoints: ArrayLike) -> str | None:
    """Name of the shipped object with the given keypoints (K + F, 3), or None."""
    points = np.asarray(keypoints)
    for name, spec in OBJECTS.items():
        if spec.keypoints.shape == points.shape and np.allclose(spec.keypoints, points, atol=1e-6):
            return name
    return None
