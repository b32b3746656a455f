"""Copies of objects, hands and scenes: datasets, runs and bundles contain what is not shipped.

Imports neither MuJoCo nor trimesh.
"""

import platform
import shutil
from pathlib import Path
from typing import Any, Protocol

from opendactyl.core.atomic_files import sha256
from opendactyl.core.errors import InputError, file_errors
from opendactyl.core.optional_files import exists
from opendactyl.sim.assets.source_files import Kind, SourceFiles

KINDS: tuple[Kind, ...] = ("object", "hand", "scene")
"""What is copied: each into the folder of that name, and each a key of settings and manifests."""


class Described(Protocol):
    """An object, a hand or a scene."""

    @property
    def kind(self) -> Kind:
        """Which of them it is."""
        ...

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def files(self) -> SourceFiles | None:
        """The files that it was read from; None for what is shipped."""
        ...

    @property
    def reference(self) -> str:
        """What the option takes: a shipped name, or a path."""
        ...

    @property
    def identity(self) -> dict[str, Any] | None:
        """Checksums and library versions; None for what is shipped."""
        ...


def store_copy(item: Described, folder: Path) -> None:
    """Copies the files of an object, a hand or a scene into `folder`; what is shipped has none.

    Raises:
        InputError: the folder holds others, or is not writable.
        EnvironmentFailure: the disk failed.
    """
    if item.files is None:
        return
    for name, checksum in item.files.identity["files"].items():
        target = folder / item.kind / name
        if exists(target):
            if sha256(target) != checksum:
                raise InputError(
                    f"{target} differs from that of {item.files.reference}; the {item.kind} was "
                    "changed: use another folder"
                )
            continue
        with file_errors(f"cannot write {target}", "name a folder that is writable"):
            target.parent.mkdir(parents=True, exist_ok=True)
            if name in item.files.texts:
                target.write_bytes(item.files.texts[name])
            else:
                shutil.copyfile(item.files.paths[name], target)


def stored_reference(folder: Path, kind: Kind, name: str) -> str:
    """What the option takes for the object, hand or scene `name` of a dataset, run or bundle."""
    path = folder / kind / f"{name}.toml"
    return str(path) if exists(path) else name


def stored_files(folder: Path) -> tuple[str, ...]:
    """Names of the copied files in a dataset, run or bundle, relative to `folder`."""
    files = sorted(path for kind in KINDS for path in (folder / kind).rglob("*") if path.is_file())
    return tuple(path.relative_to(folder).as_posix() for path in files)


def stored_name(folder: Path, kind: Kind) -> str | None:
    """The name of the object, hand or scene in a dataset, run or bundle; None: it is shipped."""
    return next((path.stem for path in sorted((folder / kind).glob("*.toml"))), None)


def stored_identity(folder: Path, kind: Kind) -> tuple[str, dict[str, str]] | None:
    """Name and checksums of what was copied into `folder`; None: nothing was."""
    name = stored_name(folder, kind)
    if name is None:
        return None
    files = sorted(path for path in (folder / kind).rglob("*") if path.is_file())
    return name, {path.relative_to(folder / kind).as_posix(): sha256(path) for path in files}


def identity_settings(item: Described) -> dict[str, Any]:
    """What the settings of a dataset or run contain of an object, hand or scene, as JSON values."""
    identity = item.identity
    return {item.kind: item.name} | ({f"{item.kind}_identity": identity} if identity else {})


def hand_settings(hand: Described) -> dict[str, Any]:
    """`identity_settings` of a hand or scene; the default hand has no entry, as in old runs."""
    without = {"hand": "none"} if hand.kind == "scene" else {}
    return without | identity_settings(hand) if hand.identity else {}


def require_identity(item: Described, identity: dict[str, Any] | None) -> None:
    """Checks that something is what settings were resolved with, here or on another node.

    Raises:
        InputError: its files, or the libraries that processed them, are others.
    """
    if item.identity != identity:
        raise InputError(
            f"{item.reference} on {platform.node()} is {item.identity}, expected {identity}; "
            "restore its files, or install the same versions on every node"
        )


def check_stored(folder: Path, kind: Kind, identity: dict[str, Any] | None, where: Path) -> None:
    """Checks what was copied into `folder` against an identity in the file `where`.

    Raises:
        InputError: a file is missing or was changed.
    """
    for name, checksum in ((identity or {}).get("files") or {}).items():
        path = folder / kind / name
        if not exists(path) or sha256(path) != checksum:
            raise InputError(f"{path} is missing, or its checksum is not that in {where}")


def is_same(first: Described, second: Described) -> bool:
    """Whether two objects, hands or scenes were read from equal files."""
    if first.name != second.name:
        return False
    files = [(item.identity or {}).get("files") for item in (first, second)]
    return files[0] == files[1]
