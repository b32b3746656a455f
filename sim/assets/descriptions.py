"""Descriptions by name or path: those that ship, and TOML files, read once while they are equal."""

import functools
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Protocol, TypeVar

from opendactyl.core.errors import InputError


class Described(Protocol):
    """What a file describes."""

    @property
    def name(self) -> str:
        """The name in the file."""
        ...


T = TypeVar("T", bound=Described)


def finder(
    kind: str,
    shipped: Mapping[str, T],
    load: Callable[[Path], T],
    reserved: Collection[str],
    owner: str,
) -> Callable[[str], T]:
    """Makes the function that finds a description by its name or its path.

    Args:
        kind: object or hand, for messages.
        shipped: descriptions by name.
        load: reads a file; raises an `InputError` or an `EnvironmentFailure`.
        reserved: shipped names that no other file may have.
        owner: what has them, for messages.

    Returns:
        A function that raises an `InputError` for an unknown or reserved name.
    """

    @functools.lru_cache(maxsize=32)
    def loaded(path: Path, modified: int, size: int) -> T:
        found = load(path)
        if found.name in reserved:
            raise InputError(
                f"{kind} {path}: its name, {found.name!r}, is that of {owner}; write "
                "another name into the file"
            )
        return found

    def find(name: str) -> T:
        if name in shipped:
            return shipped[name]
        path = Path(name).absolute()
        if path.suffix != ".toml" and not path.is_file():
            names = ", ".join(shipped)
            raise InputError(f"no {kind} {name!r}; give a .toml file or one of {names}")
        try:
            stat = path.stat()
        except OSError:
            return load(path)  # which reports the error
        return loaded(path, stat.st_mtime_ns, stat.st_size)

    return find
