"""Copies of objects and hands: datasets, runs and bundles contain the files of what is not shipped.

Imports neither MuJoCo nor trimesh.
"""

import platform
import shutil
from pathlib import Path
from typing import Any, Literal, Protocol

from opendactyl.core.atomic_files import sha256
from opendactyl.core.errors import InputError, file_errors
from opendactyl.core.optional_files import exists
from opendactyl.sim.assets.source_files import SourceFiles

Kind = Literal["object", "hand"]
KINDS: tuple[Kind, ...] = ("object", "hand")
"""What is copied: each into the folder of that name, and each a key of settings and manifests."""


class Described(Protocol):
    """An object or a hand."""

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
    """Copies the files of an object or a hand into `folder`; what is shipped has none.

    Raises:
        InputError: the folder holds others, or is not writable.
        EnvironmentFailure: the disk failed.
    """
    if item.files is None:
        return
    for name, path in item.files.paths.items():
        target = folder / item.kind / name
        if exists(target):
            if sha256(target) != item.files.identity["files"][name]:
                raise InputError(
                    f"{target} differs from {path}; the {item.kind} was changed: use another folder"
                )
            continue
        with file_errors(f"cannot write {target}", "name a folder that is writable"):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)


def stored_reference(folder: Path, kind: Kind, name: str) -> str:
    """What the option takes for the object or hand `name` of a dataset, run or bundle."""
    path = folder / kind / f"{name}.toml"
    return str(path) if exists(path) else name


def stored_files(folder: Path) -> tuple[str, ...]:
    """Names of the copied files in a dataset, run or bundle, relative to `folder`."""
    files = sorted(path for kind in KINDS for path in (folder / kind).rglob("*") if path.is_file())
    return tuple(path.relative_to(folder).as_posix() for path in files)


def stored_name(folder: Path, kind: Kind) -> str | None:
    """The name of the object or hand in a dataset, run or bundle; None: it is shipped."""
    return next((path.stem for path in sorted((folder / kind).glob("*.toml"))), None)


def stored_identity(folder: Path, kind: Kind) -> tuple[str, dict[str, str]] | None:
    """Name and checksums of the copied object or hand in `folder`; None: it is shipped."""
    name = stored_name(folder, kind)
    if name is None:
        return None
    files = sorted(path for path in (folder / kind).rglob("*") if path.is_file())
    return name, {path.relative_to(folder / kind).as_posix(): sha256(path) for path in files}


def identity_settings(item: Described) -> dict[str, Any]:
    """What the settings of a dataset or run contain of an object or a hand, as JSON values."""
    identity = item.identity
    return {item.kind: item.name} | ({f"{item.kind}_identity": identity} if identity else {})


def hand_settings(hand: Described) -> dict[str, Any]:
    """`identity_settings` of a hand; without an entry for the default one, as of old runs."""
    return identity_settings(hand) if hand.identity else {}


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
    """Checks the files of an object or hand in `folder` against an identity in the file `where`.

    Raises:
        InputError: a file is missing or was changed.
    """
    for name, checksum in ((identity or {}).get("files") or {}).items():
        path = folder / kind / name
        if not exists(path) or sha256(path) != checksum:
            raise InputError(f"{path} is missing, or its checksum is not that in {where}")


def is_same(first: Described, second: Described) -> bool:
    """Whether two objects or hands were read from equal files."""
    files = [(item.identity or {}).get("files") for item in (first, second)]
    return first.name == second.name and files[0] == files[1]
