"""BOP datasets in the scenewise format, `SPLIT/SCENE/scene_gt.json` and so on."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from opendactyl.core.atomic_files import json_hash, read_json
from opendactyl.core.errors import InputError, file_errors
from opendactyl.core.optional_files import exists
from opendactyl.datasets.foreign.bop_scene import (
    MALFORMED,
    MILLIMETRES,
    Sensor,
    read_sensors,
    samples_of,
)
from opendactyl.datasets.foreign.samples import ForeignData, ForeignManifest, ForeignSample
from opendactyl.geometry.rig import Rig
from opendactyl.sim.objects.spec import ObjectSpec

DEFAULT_SPLIT = "test"
MODELS = ("models", "models_eval")
"""Folders with a `models_info.json`."""
TOLERANCE, LEAST_TOLERANCE = 0.02, 1.0
"""Largest difference of two models' extents: of the size, and in millimetres."""


def read_bop(folder: Path, split: str, obj: ObjectSpec, known: Rig) -> ForeignData:
    """Reads the images of one object in a BOP dataset.

    The frame of the poses is the world of `cam_R_w2c` and `cam_t_w2c`. Images without the object
    are left out, as are those that not all sensors have.

    Args:
        folder: the dataset.
        split: a folder in it; empty: `test`, or the only one.
        obj: the object of the estimator, whose frame must be that of the dataset's model.
        known: cameras by the names of the sensors, for poses that the dataset lacks, for regions
            of interest, and for the order of the views.

    Raises:
        InputError: a file is missing or damaged, the scenes differ in their sensors, or the object
            is not in the dataset, or more than once in an image.
        EnvironmentFailure: the disk failed.
    """
    split = split or _only_split(folder)
    scenes = [read_sensors(scene, known) for scene in _scenes(folder / split)]
    if not scenes:
        raise InputError(f"{folder / split} holds no scene: no SCENE/ in it has a scene_gt.json")
    views = {tuple(sensor.name for sensor in sensors) for sensors in scenes}
    if len(views) > 1:
        kinds = " and ".join(sorted(", ".join(names) for names in views))
        raise InputError(
            f"the scenes of {folder / split} differ in their views ({kinds}), which are those of "
            "one rig; put the scenes of each rig into a split of its own"
        )
    number = find_object(folder, obj, _object_ids(scenes))
    samples: list[ForeignSample] = []
    for sensors in scenes:
        samples += samples_of(sensors, number, known)
    if not samples:
        raise InputError(f"no image of {folder / split} shows object {number}, the {obj.name}")
    total = sum(len(set[str]().union(*(s.poses for s in sensors))) for sensors in scenes)
    notes = (f"{len(samples)} samples: those of {total} images that all sensors have, and that "
             f"show object {number}, the {obj.name}",)  # fmt: skip
    content = [[(s.name, s.cameras, s.poses) for s in sensors] for sensors in scenes]
    manifest = ForeignManifest("bop", f"{folder.resolve().name}, {split}", obj, json_hash(content))
    return ForeignData(manifest, samples, notes if len(samples) < total else ())


def _only_split(folder: Path) -> str:
    with file_errors(f"cannot read the BOP dataset {folder}", "name its folder, bop:DIR:SPLIT"):
        found = sorted(path.name for path in folder.iterdir() if path.is_dir() and _scenes(path))
    if not found:
        raise InputError(f"{folder} is no BOP dataset: no SPLIT/SCENE/ in it has a scene_gt.json")
    if DEFAULT_SPLIT not in found and len(found) > 1:
        raise InputError(
            f"{folder} has the splits {', '.join(found)}; name one, bop:{folder}:{found[0]}"
        )
    return DEFAULT_SPLIT if DEFAULT_SPLIT in found else found[0]


def _scenes(split: Path) -> list[Path]:
    return sorted({path.parent for path in split.glob("*/scene_gt*.json")})


def _object_ids(scenes: Sequence[Sequence[Sensor]]) -> set[int]:
    found: set[int] = set()
    for sensor in (sensor for sensors in scenes for sensor in sensors):
        try:
            found |= {int(e["obj_id"]) for entries in sensor.poses.values() for e in entries}
        except MALFORMED as error:
            raise InputError(f"{sensor.where} is no table of poses ({error!r})") from error
    return found


def find_object(folder: Path, obj: ObjectSpec, present: set[int]) -> int:
    """The number of an object in a BOP dataset: that of the model with its size and origin.

    Without a `models_info.json`, it is the only object in the images.

    Args:
        folder: the dataset.
        obj: the object.
        present: the numbers of the objects in the images.

    Raises:
        InputError: no object has its size, or several have.
    """
    path = next((p for m in MODELS if exists(p := folder / m / "models_info.json")), None)
    if path is None:
        if len(present) != 1:
            raise InputError(
                f"the images of {folder} show the objects {sorted(present)}; which of them is the "
                f"{obj.name}, only their sizes tell: add models/models_info.json"
            )
        return min(present)
    vertices = MILLIMETRES * obj.triangles.reshape(-1, 3)
    low, size = vertices.min(axis=0), np.ptp(vertices, axis=0)
    allowed = np.maximum(TOLERANCE * size, LEAST_TOLERANCE)
    found: dict[int, str] = {}
    equal = []
    try:
        for key, info in read_json(path).items():
            other = np.array([[info[f"{what}_{axis}"] for axis in "xyz"]
                              for what in ("min", "size")], dtype=np.float64)  # fmt: skip
            found[int(key)] = _extent(*other)
            if np.all(np.abs(other - [low, size]) <= allowed):
                equal.append(int(key))
    except MALFORMED as error:
        raise InputError(f"{path} does not state min_x and size_x of models ({error!r})") from error
    equal = [number for number in equal if number in present] or equal
    if not equal:
        known = "; ".join(f"{number}: {extent}" for number, extent in found.items())
        raise InputError(
            f"no object of {path} is the estimator's, the {obj.name} of {_extent(low, size)} "
            f"({known}); name data of that object, whose models have its axes and origin, or "
            "another --model"
        )
    if len(equal) > 1:
        raise InputError(
            f"the objects {equal} of {path} have the size of the estimator's, the {obj.name}; "
            "remove the entries of the others"
        )
    return equal[0]


def _extent(low: np.ndarray, size: np.ndarray) -> str:
    sides, corner = ("×".join(f"{v:.0f}" for v in size), ", ".join(f"{v:.0f}" for v in low))
    return f"{sides} mm from ({corner})"
