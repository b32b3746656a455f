"""Mesh files in formats that MuJoCo does not read, which trimesh converts."""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from opendactyl.core.errors import InputError

if TYPE_CHECKING:
    import trimesh

MUJOCO_FORMATS = (".obj", ".stl", ".msh")
CONVERTED = (".glb", ".gltf", ".ply", ".dae")


def converted_with(files: Iterable[Path]) -> dict[str, str]:
    """Versions of the libraries that convert meshes among files; empty if none does."""
    from importlib.metadata import version

    suffixes = {path.suffix.lower() for path in files}
    versions = {"trimesh": version("trimesh")} if suffixes & set(CONVERTED) else {}
    return versions | ({"collada_unit": "metre"} if ".dae" in suffixes else {})


def read_mesh(path: Path) -> "trimesh.Trimesh":
    """A mesh as one set of triangles, in the coordinates of its file; COLLADA's in metres.

    Raises:
        InputError: the file cannot be read.
    """
    import trimesh

    logging.getLogger("trimesh").setLevel(logging.ERROR)
    try:
        if path.suffix.lower() == ".dae":
            import collada  # noqa: F401  # pyright: ignore[reportMissingImports]
        mesh = trimesh.load_scene(path, process=False).to_mesh()
        if path.suffix.lower() == ".dae":
            mesh.apply_scale(_metres(mesh.metadata.get("units")))
    except ModuleNotFoundError as error:
        raise InputError(
            f"mesh {path} needs the package {error.name}: pip install pycollada; or convert it to "
            "OBJ"
        ) from error
    except Exception as error:  # each of trimesh's readers raises others
        raise InputError(f"mesh {path} cannot be read ({error!r:.200}); export it again") from error
    if not len(mesh.faces):
        raise InputError(f"mesh {path} has no triangles; export it as a triangle mesh")
    # Corners of triangles with different normals or texture coordinates; simplification would tear
    # the surface along them.
    mesh.merge_vertices(merge_tex=True, merge_norm=True)
    return mesh


def _metres(unit: str | None) -> float:
    """Metres per unit of a COLLADA file, which trimesh gives as `0.001 * meters`."""
    factor, times, _ = (unit or "").partition("*")
    return float(factor) if times else 1.0
