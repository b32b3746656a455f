"""Where the files of a model are: beside its description, in a package, or in OPENDACTYL_ASSETS."""

import importlib.util
import os
from pathlib import Path
from typing import NamedTuple

from opendactyl.core.errors import InputError

VARIABLE = "OPENDACTYL_ASSETS"
"""Environment variable with folders of models, separated as those of PATH are."""
MENAGERIE = "mujoco_menagerie"
"""The package of MuJoCo Menagerie, which downloads robots into a cache."""


class Asset(NamedTuple):
    """A file that was found."""

    root: Path
    """The folder that its name is relative to."""
    path: Path
    folder: str = ""
    """What the name begins with before that, such as the robot's name in MuJoCo Menagerie."""


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
    for root in (beside, *_package_folders(package)):
        if (root / name).is_file():
            return Asset(root, root / name)
    if (found := _in_menagerie(name)) is not None:
        return found
    for root in _given_folders():
        if (root / name).is_file():
            return Asset(root, root / name)
    remedy = f"get it with `{command}`" if command else "correct the name, or put the file there"
    raise InputError(
        f"{where}: {name} is neither in {beside}, nor in an installed package or what "
        "`mujoco-menagerie prefetch` has downloaded, nor in the folders "
        f"of the environment variable {VARIABLE} ({os.environ.get(VARIABLE) or 'not set'}); "
        f"{remedy}"
    )


def _package_folders(name: str) -> list[Path]:
    package, _, folder = name.partition("/")
    found = importlib.util.find_spec(package) if package else None
    if found is None:
        return []
    return [Path(path) / folder for path in found.submodule_search_locations or ()]


def _in_menagerie(name: str) -> Asset | None:
    """A file ROBOT/FILE of MuJoCo Menagerie, if it was downloaded or is in `MENAGERIE_ROOT`."""
    robot, _, file = name.partition("/")
    if importlib.util.find_spec(MENAGERIE) is None:
        return None
    menagerie = importlib.import_module(MENAGERIE)
    if not file or robot not in menagerie.names():
        return None
    cache, entry = menagerie.Cache(), menagerie.get(robot)
    if cache.root is not None:
        folder = Path(cache.root) / robot
    else:
        folder = cache.model_path(entry) if cache.is_cached(entry) else None
    if folder is None or not (folder / file).is_file():
        return None
    return Asset(folder, folder / file, robot)


def _given_folders() -> list[Path]:
    return [Path(path) for path in os.environ.get(VARIABLE, "").split(os.pathsep) if path]
