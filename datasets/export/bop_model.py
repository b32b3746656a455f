"""The object model in BOP's format: a coloured PLY in millimetres, and its dimensions."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist

from opendactyl.core.atomic_files import write_json, write_text
from opendactyl.datasets.foreign.bop_scene import MILLIMETRES
from opendactyl.geometry.rotation import Array
from opendactyl.geometry.transforms import pose_matrix
from opendactyl.sim.objects.spec import ObjectSpec

PLAIN = (0.5, 0.5, 0.5)
"""The colour of facets without a coloured face."""

HEADER = """ply
format ascii 1.0
element vertex {vertices}
property float x
property float y
property float z
property float nx
property float ny
property float nz
property uchar red
property uchar green
property uchar blue
element face {faces}
property list uchar int vertex_indices
end_header
"""


def write_models(folder: Path, bodies: Sequence[ObjectSpec]) -> None:
    """Writes `obj_000001.ply` and so on, and `models_info.json`."""
    for number, body in enumerate(bodies, start=1):
        _write_model(folder / f"obj_{number:06d}.ply", body)
    infos = {str(number): _info(body) for number, body in enumerate(bodies, start=1)}
    write_json(folder / "models_info.json", infos)


def _write_model(path: Path, obj: ObjectSpec) -> None:
    """Writes a PLY with a colour for each vertex."""
    vertices, faces = [], []
    for triangle, normal, colours in _triangles(obj):
        faces.append(f"3 {len(vertices)} {len(vertices) + 1} {len(vertices) + 2}")
        for corner, colour in zip(triangle, colours, strict=True):
            numbers = " ".join(f"{x + 0.0:.6g}" for x in (*corner, *np.round(normal, 9)))
            r, g, b = (round(255 * x) for x in colour)
            vertices.append(f"{numbers} {r} {g} {b}")
    header = HEADER.format(vertices=len(vertices), faces=len(faces))
    text = header + "\n".join([*vertices, *faces]) + "\n"
    write_text(path, text)


def _triangles(obj: ObjectSpec) -> Iterator[tuple[Array, Array, Array]]:
    """Corners (3, 3) in millimetres, normal (3,) and colours (3, 3) of each triangle."""
    if obj.solid is None:
        for triangle in obj.triangles:
            normal = _normal(triangle)
            face = next((f for f in obj.faces if f.frame[:3, 2] @ normal > 0.99), None)
            covered = face.textured if face else obj.cylinder
            if not covered:
                yield MILLIMETRES * triangle, normal, np.tile(face.rgb if face else PLAIN, (3, 1))
    for surface in obj.surfaces:
        for triangle, colours in zip(surface.corners, surface.corner_colours(), strict=True):
            normal = _normal(triangle)
            if normal.any():
                yield MILLIMETRES * triangle, normal, colours


def _normal(triangle: Array) -> Array:
    """The unit normal (3,) of a triangle (3, 3); zero if it has no area."""
    normal = np.cross(triangle[1] - triangle[0], triangle[2] - triangle[0])
    return normal / (np.linalg.norm(normal) or 1.0)


def _info(obj: ObjectSpec) -> dict[str, Any]:
    """The object's dimensions and symmetry."""
    points = MILLIMETRES * np.unique(obj.triangles.reshape(-1, 3), axis=0)
    corners = points[ConvexHull(points).vertices]
    low, size = corners.min(axis=0), np.ptp(corners, axis=0)
    info: dict[str, Any] = {"diameter": float(pdist(corners).max())}
    for i, axis in enumerate("xyz"):
        info |= {f"min_{axis}": float(low[i]), f"size_{axis}": float(size[i])}
    if len(obj.symmetry.rotations) > 1:
        info["symmetries_discrete"] = [
            pose_matrix(np.zeros(3), rotation).ravel().tolist()
            for rotation in obj.symmetry.rotations[1:]
        ]
    if obj.symmetry.axis is not None:
        axis = obj.symmetry.axis.tolist()
        info["symmetries_continuous"] = [{"axis": axis, "offset": [0.0, 0.0, 0.0]}]
    return info
