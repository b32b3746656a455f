"""The object model in BOP's format: a coloured PLY in millimetres, and its dimensions."""

from pathlib import Path

import numpy as np
from scipy.spatial import ConvexHull

from opendactyl.core.atomic_files import write_json, write_text
from opendactyl.sim.objects.shipped import object_spec
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


def write_models(folder: Path, object_name: str, number: int) -> None:
    """Writes `obj_000001.ply` and `models_info.json`; the coloured faces leave no symmetry."""
    obj = object_spec(object_name)
    corners = 1000.0 * obj.corners
    hull = ConvexHull(corners)
    vertices, faces = [], []
    for triangle, equation in zip(hull.simplices, hull.equations, strict=True):
        normal = equation[:3]
        a, b, c = corners[triangle]
        if np.cross(b - a, c - a) @ normal < 0:
            b, c = c, b
        colour = [round(255 * x) for x in _colour(obj, normal)]
        faces.append(f"3 {len(vertices)} {len(vertices) + 1} {len(vertices) + 2}")
        for corner in (a, b, c):
            numbers = " ".join(f"{x + 0.0:.6g}" for x in (*corner, *np.round(normal, 9)))
            vertices.append(f"{numbers} {colour[0]} {colour[1]} {colour[2]}")
    header = HEADER.format(vertices=len(vertices), faces=len(faces))
    text = header + "\n".join([*vertices, *faces]) + "\n"
    write_text(folder / f"obj_{number:06d}.ply", text)
    low, size = corners.min(axis=0), np.ptp(corners, axis=0)
    spans = np.linalg.norm(corners[:, None] - corners[None], axis=-1)
    info = {"diameter": float(spans.max())}
    for i, axis in enumerate("xyz"):
        info |= {f"min_{axis}": float(low[i]), f"size_{axis}": float(size[i])}
    write_json(folder / "models_info.json", {str(number): info})


def _colour(obj: ObjectSpec, normal: np.ndarray) -> tuple[float, float, float]:
    for face in obj.faces:
        if face.frame[:3, 2] @ normal > 0.99:
            return face.rgb
    return PLAIN
