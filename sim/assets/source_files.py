"""The files that an object, a hand or a scene was read from, and their checksums."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from opendactyl.core.atomic_files import sha256
from opendactyl.core.errors import InputError
from opendactyl.sim.assets.lookup import Asset
from opendactyl.sim.assets.references import referenced_files

Kind = Literal["object", "hand", "scene"]
"""What is described by files."""


@dataclass(frozen=True, eq=False)
class SourceFiles:
    """The files that an object, a hand or a scene was read from."""

    reference: str
    """The path of its TOML file: what `--object`, `--hand` or `--scene` takes."""
    paths: dict[str, Path]
    """Each file by its name in a copy, see `storage.store_copy`."""
    identity: dict[str, Any]
    """`files`: sha256 of each; `made_with`: versions of the libraries that processed them."""
    texts: dict[str, bytes] = field(default_factory=dict)
    """Files of the copy that are not on disk, by name."""

    @classmethod
    def of(
        cls,
        reference: Path,
        paths: dict[str, Path],
        made_with: dict[str, str],
        texts: dict[str, bytes] | None = None,
    ) -> "SourceFiles":
        """Computes the checksums."""
        texts = texts or {}
        sums = {name: sha256(path) for name, path in paths.items()}
        sums |= {name: hashlib.sha256(text).hexdigest() for name, text in texts.items()}
        identity = {"files": dict(sorted(sums.items())), "made_with": made_with}
        return cls(str(reference), dict(paths), identity, texts)


def relative_name(file: Path, root: Path, model: Path) -> str:
    """The name of a file in a copy: relative to the folder that its model was found in."""
    for base in (root.resolve(), model.resolve().parent):
        if file.resolve().is_relative_to(base):
            return file.resolve().relative_to(base).as_posix()
    return file.name


def model_files(asset: Asset, where: str) -> tuple[dict[str, Path], dict[str, Path]]:
    """The files of a model and its licences, by their names in a copy.

    Raises:
        InputError: a file is missing, or outside of the folder that the model was found in.
    """
    files = referenced_files(asset.path)
    licences = [file for file in sorted(asset.path.parent.glob("LICENSE*")) if file.is_file()]
    found, texts = ({name_in_copy(f, asset, where): f for f in some} for some in (files, licences))
    return found, texts


def name_in_copy(file: Path, asset: Asset, where: str) -> str:
    """The name of a model's file in a copy, which keeps the folders below `asset.root`.

    Raises:
        InputError: the file is outside of that folder, so that the copied model would not find it.
    """
    root, model, folder = asset
    if not file.resolve().is_relative_to(root.resolve()):
        raise InputError(
            f"{where}: model {model} refers to {file}, which is outside of {root}; name the model "
            f"relative to {common_folder([file, model])}, and add that folder to OPENDACTYL_ASSETS"
        )
    return str(PurePosixPath(folder) / relative_name(file, root, model))


def common_folder(files: Sequence[Path]) -> Path:
    """The folder that holds all files."""
    return Path(os.path.commonpath([path.resolve().parent for path in files]))
