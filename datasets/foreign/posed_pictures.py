"""Pictures of each camera in a folder, with the poses that `opendactyl estimate` writes."""

from pathlib import Path
from typing import Any

import numpy as np

from opendactyl.core.atomic_files import json_hash, read_json
from opendactyl.core.errors import InputError
from opendactyl.core.optional_files import exists
from opendactyl.datasets.foreign.pictures import match_pictures, pictures_in
from opendactyl.datasets.foreign.samples import ForeignData, ForeignManifest, ForeignSample
from opendactyl.geometry.rig import Rig
from opendactyl.geometry.rotation import Array, quat_canonical
from opendactyl.sim.objects.spec import ObjectSpec

POSES, RIG = "poses.json", "rig.toml"
"""File names in the folder: the poses, and the rig of the pictures, which may be missing."""
UNIT = 0.01
"""Largest deviation of a quaternion's norm from 1."""
_ENTRIES = "each of its poses has `frame`, `position` in metres and `quaternion`, w x y z"


def read_posed_pictures(folder: Path, rig: Rig, obj: ObjectSpec) -> ForeignData:
    """Reads `CAMERA/0000.png …` and `poses.json`, whose `frame` is the name of a picture.

    Args:
        folder: the folder.
        rig: the cameras; folders of other names are ignored.
        obj: the object of the estimator.

    Raises:
        InputError: a camera has no pictures, they cannot be matched with each other or with the
            poses, or the poses are damaged or of another object.
        EnvironmentFailure: the disk failed.
    """
    content = read_json(folder / POSES)
    poses = _poses(folder / POSES, content, obj)
    rows = list(zip(*match_pictures(_folders(folder, rig)), strict=True))
    samples, used = [], set()
    for row in rows:
        pictures = tuple(picture for picture in row if picture is not None)
        name = next((p.stem for p in pictures if p.stem in poses), None)
        if name is not None and len(pictures) == len(rig.names):
            unknown = np.full(len(pictures), np.nan)
            samples.append(ForeignSample(name, rig, pictures, *poses[name][:2], unknown,
                                         poses[name][2]))  # fmt: skip
            used.add(name)
    if not samples:
        raise InputError(
            f"no pose in {folder / POSES} belongs to pictures of all cameras "
            f"({', '.join(rig.names)}): its frames are {_some(poses)}, the pictures "
            f"{_some(p.stem for row in rows for p in row if p)}; `frame` is a picture's name "
            "without its ending"
        )
    notes = ()
    if len(used) < max(len(poses), len(rows)):
        notes = (
            f"{len(used)} samples: of {len(rows)} moments and {len(poses)} poses, those that have "
            "pictures of all cameras and a pose",
        )
    manifest = ForeignManifest(
        "pictures", folder.resolve().name, obj, json_hash([content, rig.to_dict()])
    )
    return ForeignData(manifest, samples, notes)


def _some(names: Any) -> str:
    found = list(dict.fromkeys(names))
    return ", ".join(found[:3]) + (", …" if len(found) > 3 else "")


def _folders(folder: Path, rig: Rig) -> list[Path]:
    """The folder of each camera's pictures."""
    found = {p.name for p in folder.iterdir() if p.is_dir() and pictures_in(p)}
    if missing := [name for name in rig.names if name not in found]:
        raise InputError(
            f"{folder} has pictures of {', '.join(sorted(found)) or 'no camera'}; the rig "
            f"{rig.name} has {len(rig.names)} cameras, and {', '.join(missing)} "
            f"{'are' if len(missing) > 1 else 'is'} missing: name the pictures' rig with --rig, or "
            f"put it into {folder / RIG}"
        )
    return [folder / name for name in rig.names]


def _poses(path: Path, content: Any, obj: ObjectSpec) -> dict[str, tuple[Array, Array, Array]]:
    """Position (3,), quaternion (4,) and angles of hinges (H,) by the names of the frames."""
    poses: dict[str, tuple[Array, Array, Array]] = {}
    try:
        stated = content.get("object")
        for entry in content["poses"]:
            position, quaternion = (
                np.array(entry[name], dtype=np.float64).reshape(size)
                for name, size in (("position", 3), ("quaternion", 4))
            )
            if not abs(np.linalg.norm(quaternion) - 1) < UNIT or not np.isfinite(position).all():
                raise ValueError(f"frame {entry['frame']}: the pose is not valid")
            known = entry.get("hinges") or {}
            names = [hinge.name for hinge in obj.articulation.hinges]
            hinges = np.array([known[name] for name in names if known], dtype=np.float64)
            frame = str(entry["frame"])
            if frame in poses:
                raise ValueError(f"two poses of frame {frame}")
            poses[frame] = position, quat_canonical(quaternion), hinges
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} holds no poses ({error!r}); {_ENTRIES}") from error
    if stated not in (None, obj.name):
        raise InputError(
            f"{path} has poses of the object {stated}; the estimator's is {obj.name}: name an "
            "estimator of that object with --model"
        )
    return poses


def is_posed_pictures(folder: Path) -> bool:
    """Whether a folder has the form that `read_posed_pictures` reads."""
    return exists(folder / POSES)
