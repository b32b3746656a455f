"""Simplified visual meshes: rendering time is dominated by the hand's 41,000 mesh faces."""

import functools

import fast_simplification
import mujoco
import numpy as np
from numpy.typing import NDArray

KEEP = 0.4
"""The share of a mesh's faces to aim at; a mesh keeps more when its surface would suffer."""
AGGRESSION = 1
"""How much surface error a collapse may add, from 0 to 10. Above 2 a picture is further from one
with all faces than MuJoCo's own default quality is."""
SMALLEST = 300
"""Meshes of fewer faces than this are left alone."""
LARGEST = 10_000
"""Meshes of more faces than this lose the ones inside instead of being coarsened: the forearm is
full of machinery that nobody sees, and its outside is made of edges that a collapse would blur."""
CELL = 1.5e-3
"""Width in metres of the cells in which the outside of a mesh is looked for."""
DEPTH_SLACK = 0.3
"""How far behind the nearest point of a cell a point still counts as seen, in cells."""
DIRECTIONS, POINTS = 48, 300_000
"""From how many sides a mesh is looked at, and points spread over its faces."""


def simplify_hand(spec: mujoco.MjSpec, keep: float = KEEP) -> None:
    """Replaces every large visual mesh of the spec by one with fewer faces.

    By quadric edge collapse to a share `keep`, or, for the largest, by leaving out what cannot be
    seen from outside. Both are deterministic. Meshes that collide are left alone.
    """
    model = spec.compile()
    colliding = {g.meshname for g in spec.geoms if g.contype or g.conaffinity}
    for mesh in [m for m in spec.meshes if m.name not in colliding]:
        number = model.mesh(mesh.name).id
        start, count = model.mesh_vertadr[number], model.mesh_vertnum[number]
        first, faces = model.mesh_faceadr[number], model.mesh_facenum[number]
        if faces < SMALLEST:
            continue
        vertices = model.mesh_vert[start : start + count]
        triangles = model.mesh_face[first : first + faces]
        if faces > LARGEST:
            seen = _seen_from_outside(vertices.tobytes(), triangles.tobytes())
            triangles = triangles[np.frombuffer(seen, dtype=bool)]
        else:
            vertices, triangles, *_ = fast_simplification.simplify(
                vertices, triangles, target_count=max(int(keep * faces), SMALLEST), agg=AGGRESSION
            )
        # The compiler centred and turned the vertices; undo it, so that geoms stay in place.
        rotation = np.empty(9)
        mujoco.mju_quat2Mat(rotation, model.mesh_quat[number])
        vertices = vertices @ rotation.reshape(3, 3).T + model.mesh_pos[number]
        simple = spec.add_mesh(
            name=mesh.name + ":simple", uservert=vertices.ravel(), userface=triangles.ravel()
        )
        for geom in [g for g in spec.geoms if g.meshname == mesh.name]:
            geom.meshname = simple.name
        spec.delete(mesh)


@functools.cache
def _seen_from_outside(vertices: bytes, triangles: bytes) -> bytes:
    """Which faces (F,) of a mesh have a point that nothing of the mesh hides from all sides.

    Args:
        vertices: float32 (N, 3) in metres.
        triangles: int32 (F, 3).
    """
    corners = np.frombuffer(vertices, dtype=np.float32).reshape(-1, 3).astype(np.float64)
    corners = corners[np.frombuffer(triangles, dtype=np.int32).reshape(-1, 3)]
    points, face = _spread(corners)
    seen = np.zeros(len(corners), dtype=bool)
    for direction in _directions():
        across = np.cross(direction, np.eye(3)[np.abs(direction).argmin()])
        across /= np.linalg.norm(across)
        plane = points @ np.stack([across, np.cross(direction, across)], axis=1)
        cell = np.floor(plane / CELL).astype(np.int64)
        cell -= cell.min(axis=0)
        key = cell[:, 0] * (cell[:, 1].max() + 1) + cell[:, 1]
        depth = points @ direction
        nearest = np.full(key.max() + 1, np.inf)
        np.minimum.at(nearest, key, depth)
        seen[face[depth <= nearest[key] + DEPTH_SLACK * CELL]] = True
    return seen.tobytes()


def _spread(corners: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Points (P, 3) spread evenly over faces (F, 3, 3), one at least on each, and whose they are.

    Places in a face come from the R2 sequence (Roberts 2018), which leaves no gaps.
    """
    sides = corners[:, 1:] - corners[:, :1]
    share = np.cumsum(np.linalg.norm(np.cross(sides[:, 0], sides[:, 1]), axis=1))
    face = np.searchsorted(share, (np.arange(POINTS) + 0.5) / POINTS * share[-1])
    uv = np.arange(1, POINTS + 1)[:, None] * [0.7548776662466927, 0.5698402909980532] % 1
    outside = uv.sum(axis=1) > 1
    uv[outside] = 1 - uv[outside]
    points = corners[face, 0] + np.einsum("pk,pki->pi", uv, sides[face])
    everyone = np.arange(len(corners))
    return np.concatenate([points, corners.mean(axis=1)]), np.concatenate([face, everyone])


def _directions() -> NDArray[np.float64]:
    """Unit vectors (D, 3) spread evenly over the sphere, on a golden spiral."""
    number = np.arange(DIRECTIONS) + 0.5
    height, turn = 1 - 2 * number / DIRECTIONS, np.pi * (1 + np.sqrt(5)) * number
    radius = np.sqrt(1 - height**2)
    return np.stack([radius * np.cos(turn), radius * np.sin(turn), height], axis=1)
