"""Where the files of a model are: beside its description, in a package, or in OPENDACTYL_ASSETS."""

import importlib.util
import os
from pathlib import Path
from typing import NamedTuple

from opendactyl.core.errors import InputError

VARIABLE = "OPENDACTYL_ASSETS"
"""Environment variable with folders of models, separated as those of PATH are."""
MENAGERIE = "mujoco_menagerie"
"""The package of MuJoCo Menagerie; its folders are those of the repository."""


class Asset(NamedTuple):
    """A file that was found."""

    root: Path
    """The folder that its name is relative to."""
    path: Path


def find_asset(name: str, beside: Path, where: str, package: str = "", command: str = "") -> Asset:
    """Finds a file of a model.

    Args:
        name: path of the file, relative to the folders that are searched, or absolute.
        beside: the folder of the description that names it; it comes first.
        where: the description, for messages.
        package: a folder of an installed package, which is not imported, such as `package/folder`.
        command: the command that gets the file, for messages.

    Raises:
        InputError: the file is in none of the folders.
    """
    roots = [beside, *_package_folders(package), *_package_folders(MENAGERIE), *_given_folders()]
    for root in roots:
        if (root / name).is_file():
            return Asset(root, root / name)
    remedy = f"get it with `{command}`" if command else "correct the name, or put the file there"
    raise InputError(
        f"{where}: {name} is neither in {beside}, nor in an installed package, nor in the folders "
        f"of the environment variable {VARIABLE} ({os.environ.get(VARIABLE) or 'not set'}); "
        f"{remedy}"
    )


def _package_folders(name: str) -> list[Path]:
    package, _, folder = name.partition("/")
    found = importlib.util.find_spec(package) if package else None
    if found is None:
        return []
    return [Path(path) / folder for path in found.submodule_search_locations or ()]


def _given_folders() -> list[Path]:
    return [Path(path) for path in os.environ.get(VARIABLE, "").split(os.pathsep) if path]
