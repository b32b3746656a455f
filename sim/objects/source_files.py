"""The files of an object: where they lie, and the checksums that identify the object."""

from pathlib import Path
from typing import Any

from PIL import Image

from opendactyl.core.errors import InputError
from opendactyl.sim.assets.pictures import UNDECODABLE, picture_error
from opendactyl.sim.assets.source_files import SourceFiles
from opendactyl.sim.objects.mesh_file import as_texture


class Reader:
    """Paths, textures and checksums of the files that an object refers to."""

    def __init__(self, path: Path) -> None:
        """For the object file `path`."""
        self.path = path
        self.paths: dict[str, Path] = {}
        self.made_with: dict[str, str] = {}

    def find(self, name: str) -> Path:
        """The path of a file that the object file names.

        It is looked up relative to the object file; one that lies elsewhere, beside it first, where
        a copy of the object has it.
        """
        relative, beside = self.path.parent / name, self.path.parent / Path(name).name
        outside = Path(name).is_absolute() or ".." in Path(name).parts
        found = [p for p in ((beside, relative) if outside else (relative, beside)) if p.is_file()]
        return found[0] if found else relative

    def add(self, path: Path, name: str | None = None) -> None:
        """Adds a file to those that identify the object."""
        name = name or path.name
        if name in self.paths and self.paths[name].resolve() != path.resolve():
            raise InputError(f"{self.path} refers to two files named {name}; rename one")
        self.paths[name] = path

    def texture(self, name: str) -> Any:
        """Loads the texture of a face."""
        path = self.find(name)
        try:
            with Image.open(path) as image:
                pixels = as_texture(image)
        except UNDECODABLE as error:
            what = f"{self.path}: the texture {path}"
            raise picture_error(what, error, "correct `texture`") from error
        self.add(path)
        return pixels

    def files(self) -> SourceFiles:
        """The files and their checksums."""
        return SourceFiles.of(self.path, self.paths, self.made_with)
