"""Meshes from files: surfaces with their textures and vertex colours, in the object's frame.

trimesh is imported here only, when an object from a mesh is loaded.
"""

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from opendactyl.core.errors import InputError, file_error
from opendactyl.sim.objects.colour_atlas import atlas, srgb
from opendactyl.sim.objects.solids import PLAIN
from opendactyl.sim.objects.spec import WHITE, Array, Rgb, Surface

if TYPE_CHECKING:
    import trimesh

FORMATS = (".obj", ".ply", ".stl", ".glb")
MAX_FACES = 100_000
"""Meshes with more faces slow down every image, and are refused."""
MAX_TEXTURE = 2048
"""Larger textures are reduced to this many pixels along the longer side."""
_DEFAULT_NAMES = ("material_0", "")


class Loaded(NamedTuple):
    """A mesh in the coordinates of its file."""

    surfaces: tuple[Surface, ...]
    """One per material."""
    merged: "trimesh.Trimesh"
    """All triangles, with equal vertices merged: its volume is that of the object."""


def load_mesh(path: Path, rgb: Rgb | None, simplify: int | None) -> Loaded:
    """Reads a mesh.

    Args:
        path: an OBJ, PLY, STL or GLB file.
        rgb: colour of surfaces without one; None: grey.
        simplify: number of faces to reduce the mesh to; textures become vertex colours.

    Raises:
        InputError: the file is missing, damaged, has too many faces or no triangles.
    """
    meshes = _read(path)
    surfaces = tuple(_surface(mesh, rgb or PLAIN) for mesh in meshes)
    merged = _merged(surfaces)
    faces = len(merged.faces)
    if simplify is not None and simplify < faces:
        surfaces = (_simplified(surfaces, merged, simplify),)
        merged = _merged(surfaces)
    elif faces > MAX_FACES:
        raise InputError(
            f"mesh {path} has {faces:,} faces, at most {MAX_FACES:,} can be rendered; "
            "add simplify = 20000 to the object's file, or reduce the mesh"
        )
    if merged.is_watertight and merged.volume < 0:  # inside out
        surfaces = tuple(_flipped(surface) for surface in surfaces)
        merged = _merged(surfaces)
    return Loaded(surfaces, merged)


def _read(path: Path) -> "list[trimesh.Trimesh]":
    import trimesh

    if path.suffix.lower() not in FORMATS:
        raise InputError(f"mesh {path} has another format than {', '.join(FORMATS)}; convert it")
    try:
        path.open("rb").close()
    except OSError as error:
        raise file_error(f"cannot read the mesh {path}", error, "correct `file`") from error
    logging.getLogger("trimesh").setLevel(logging.ERROR)
    try:
        scene = trimesh.load_scene(path, process=False)
        meshes = [m for m in scene.dump() if isinstance(m, trimesh.Trimesh) and len(m.faces)]
    except Exception as error:  # each of trimesh's readers raises others
        raise InputError(f"mesh {path} cannot be read ({error!r:.200}); export it again") from error
    if not meshes:
        raise InputError(f"mesh {path} has no triangles; export it as a triangle mesh")
    for mesh in meshes if path.suffix.lower() == ".glb" else ():
        visual: Any = mesh.visual
        if visual.kind == "vertex":
            colours = np.asarray(visual.vertex_colors)[:, :3] / 255
            visual.vertex_colors[:, :3] = np.rint(255 * srgb(colours))
    if not all(np.isfinite(mesh.vertices).all() for mesh in meshes):
        raise InputError(f"mesh {path} has vertices that are not finite; export it again")
    return meshes


def _surface(mesh: "trimesh.Trimesh", rgb: Rgb) -> Surface:
    vertices = np.array(mesh.vertices, dtype=np.float64)
    triangles = np.array(mesh.faces, dtype=np.int64)
    visual: Any = mesh.visual
    if visual.kind == "texture":
        material = visual.material
        image = getattr(material, "baseColorTexture", None) or getattr(material, "image", None)
        factor = _factor(material)
        if image is None or visual.uv is None:
            return Surface(vertices, triangles, factor or rgb)
        pixels = as_texture(image)
        uv = np.array(visual.uv, dtype=np.float64)
        return Surface(vertices, triangles, factor or WHITE, pixels, uv, triangles)
    if visual.kind in ("vertex", "face"):
        per_corner = (
            visual.vertex_colors[triangles]
            if visual.kind == "vertex"
            else np.repeat(visual.face_colors[:, None], 3, axis=1)
        )
        return coloured(vertices, triangles, np.asarray(per_corner)[..., :3] / 255)
    return Surface(vertices, triangles, rgb)


def _factor(material: Any) -> Rgb | None:
    """The colour of a material, or None if the file states none."""
    value = getattr(material, "baseColorFactor", None)
    if value is not None:  # Of glTF, whose colours are linear.
        r, g, b = srgb(np.asarray(value)[:3] / 255).tolist()
        return r, g, b
    value = getattr(material, "diffuse", None)
    if value is None or (material.name in _DEFAULT_NAMES and not material.kwargs):
        return None
    r, g, b = (np.asarray(value, dtype=float)[:3] / 255).tolist()
    return r, g, b


def coloured(vertices: Array, triangles: NDArray[np.int64], colours: Array) -> Surface:
    """A surface with colours (T, 3, 3) at its triangles' corners, drawn by a texture."""
    first = colours[0, 0]
    if np.all(colours == first):
        r, g, b = first.tolist()
        return Surface(vertices, triangles, (r, g, b))
    texture, uv, uv_triangles = atlas(vertices[triangles], colours)
    return Surface(vertices, triangles, WHITE, texture, uv, uv_triangles)


def as_texture(image: Image.Image) -> NDArray[np.uint8]:
    """An image as a texture (H, W, 3), reduced if it is large."""
    image = image.convert("RGB")
    if max(image.size) > MAX_TEXTURE:
        image.thumbnail((MAX_TEXTURE, MAX_TEXTURE), Image.Resampling.BOX)
    return np.array(image)


def _merged(surfaces: tuple[Surface, ...]) -> "trimesh.Trimesh":
    import trimesh

    starts = np.cumsum([0, *(len(s.vertices) for s in surfaces)])[:-1]
    faces = [s.triangles + start for s, start in zip(surfaces, starts, strict=True)]
    return trimesh.Trimesh(
        np.concatenate([s.vertices for s in surfaces]), np.concatenate(faces), process=True
    )


def _simplified(surfaces: tuple[Surface, ...], merged: "trimesh.Trimesh", count: int) -> Surface:
    """One surface with fewer faces; its colours are those of the nearest original corners."""
    import fast_simplification
    from scipy.spatial import KDTree

    vertices, triangles, *_ = fast_simplification.simplify(
        np.asarray(merged.vertices), np.asarray(merged.faces), target_count=count
    )
    vertices, triangles = vertices.astype(np.float64), triangles.astype(np.int64)
    points = np.concatenate([s.corners.reshape(-1, 3) for s in surfaces])
    colours = np.concatenate([s.corner_colours().reshape(-1, 3) for s in surfaces])
    _, nearest = KDTree(points).query(vertices)
    return coloured(vertices, triangles, colours[nearest][triangles])


def _flipped(s: Surface) -> Surface:
    backwards = None if s.uv_triangles is None else s.uv_triangles[:, ::-1]
    return replace(s, triangles=s.triangles[:, ::-1], uv_triangles=backwards)


def linked_files(path: Path) -> list[Path]:
    """The material and texture files that a mesh refers to.

    Raises:
        InputError: one is missing, or is not in the mesh's folder.
    """
    found = []
    for name, origin in _links(path):
        target = path.parent / name
        if not target.is_file():
            raise InputError(
                f"{origin.name} refers to {name}, which is not in {path.parent}; put the file "
                f"there, or remove the reference from {origin.name}"
            )
        if not target.resolve().is_relative_to(path.parent.resolve()):
            raise InputError(f"{origin.name} refers to {name}; put it in the folder of the mesh")
        found.append(target)
    return found


def _links(path: Path) -> list[tuple[str, Path]]:
    """Names of the files that a mesh refers to, each with the file that contains the reference."""
    if path.suffix.lower() == ".ply":
        with path.open("rb") as file:
            header = file.read(65536).partition(b"end_header")[0]
        return [(name, path) for name in _after(header, "comment TextureFile")]
    if path.suffix.lower() != ".obj":
        return []
    links = []
    for name in _after(path.read_bytes(), "mtllib"):
        links.append((name, path))
        material = path.parent / name
        if material.is_file():
            # Options come before the name of the texture.
            names = [text.split()[-1] if text.startswith("-") else text
                     for text in _after(material.read_bytes(), "map_Kd")]  # fmt: skip
            links += [(texture, material) for texture in dict.fromkeys(names)]
    return links


def _after(content: bytes, keyword: str) -> list[str]:
    """The rest of each line that starts with a keyword."""
    lines = content.decode("utf-8", "replace").splitlines()
    return [
        text.strip()[len(keyword) :].strip()
        for text in lines
        if text.strip().startswith(keyword + " ")
    ]
