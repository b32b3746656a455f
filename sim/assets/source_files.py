"""The files that an object or a hand was read from, and their checksums."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opendactyl.core.atomic_files import sha256


@dataclass(frozen=True, eq=False)
class SourceFiles:
    """The files that an object or a hand was read from."""

    reference: str
    """The path of its TOML file: what `--object` or `--hand` takes."""
    paths: dict[str, Path]
    """Each file by its name in a copy, see `storage.store_copy`."""
    identity: dict[str, Any]
    """`files`: sha256 of each; `made_with`: versions of the libraries that processed them."""

    @classmethod
    def of(
        cls, reference: Path, paths: dict[str, Path], made_with: dict[str, str]
    ) -> "SourceFiles":
        """Computes the checksums."""
        sums = {name: sha256(path) for name, path in sorted(paths.items())}
        return cls(str(reference), dict(paths), {"files": sums, "made_with": made_with})
