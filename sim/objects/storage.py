"""Copies of objects: datasets, runs and bundles contain the files of an object that is not shipped.

Imports neither MuJoCo nor trimesh.
"""

import platform
import shutil
from pathlib import Path
from typing import Any

from opendactyl.core.atomic_files import sha256
from opendactyl.core.errors import InputError, file_errors
from opendactyl.core.optional_files import exists
from opendactyl.sim.objects.spec import ObjectSpec

FOLDER = "object"
"""The folder of the copy."""


def store_object(obj: ObjectSpec, folder: Path) -> None:
    """Copies the files of an object into `folder`; a shipped object has none.

    Raises:
        InputError: the folder holds another object, or is not writable.
        EnvironmentFailure: the disk failed.
    """
    if obj.files is None:
        return
    for name, path in obj.files.paths.items():
        target = folder / FOLDER / name
        if exists(target):
            if sha256(target) != obj.files.identity["files"][name]:
                raise InputError(
                    f"{target} differs from {path}; the object was changed: use another folder"
                )
            continue
        with file_errors(f"cannot write {target}", "name a folder that is writable"):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)


def stored_object(folder: Path, name: str) -> str:
    """What `object_spec` takes for the object `name` of a dataset, run or bundle in `folder`."""
    path = folder / FOLDER / f"{name}.toml"
    return str(path) if exists(path) else name


def stored_files(folder: Path) -> tuple[str, ...]:
    """Names of the object's files in a dataset, run or bundle, relative to `folder`."""
    files = sorted(path for path in (folder / FOLDER).rglob("*") if path.is_file())
    return tuple(path.relative_to(folder).as_posix() for path in files)


def stored_name(folder: Path) -> str | None:
    """The name of the object whose files are in a dataset, run or bundle; None: it is shipped."""
    return next((path.stem for path in sorted((folder / FOLDER).glob("*.toml"))), None)


def object_settings(obj: ObjectSpec) -> dict[str, Any]:
    """What the settings of a dataset or run contain of an object, as JSON values."""
    return {"object": obj.name} | ({"object_identity": obj.identity} if obj.identity else {})


def require_identity(obj: ObjectSpec, identity: dict[str, Any] | None) -> None:
    """Checks that an object is the one that settings were resolved with, here or on another node.

    Raises:
        InputError: its files, or the libraries that processed them, are others.
    """
    if obj.identity != identity:
        raise InputError(
            f"{obj.reference} on {platform.node()} is {obj.identity}, expected {identity}; restore "
            "its files, or install the same versions on every node"
        )


def check_stored(folder: Path, identity: dict[str, Any] | None, where: Path) -> None:
    """Checks the files of the object in `folder` against an identity stored in the file `where`.

    Raises:
        InputError: a file is missing or was changed.
    """
    for name, checksum in ((identity or {}).get("files") or {}).items():
        path = folder / FOLDER / name
        if not exists(path) or sha256(path) != checksum:
            raise InputError(f"{path} is missing, or its checksum is not that in {where}")


def same_object(first: ObjectSpec, second: ObjectSpec) -> bool:
    """Whether two objects were read from equal files."""
    files = [(obj.identity or {}).get("files") for obj in (first, second)]
    return first.name == second.name and files[0] == files[1]
