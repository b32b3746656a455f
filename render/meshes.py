"""Simplified visual meshes: rendering time is dominated by the hand's 34,000 mesh faces."""

import fast_simplification
import mujoco
import numpy as np

KEEP = 0.4
"""The share of a mesh's faces to aim at; a mesh keeps more when its surface would suffer."""
AGGRESSION = 1
"""How much surface error a collapse may add, from 0 to 10. Above 2 a picture is further from one
with all faces than MuJoCo's own default quality is."""
SMALLEST = 300
"""Meshes of fewer faces than this are left alone."""


def simplify_hand(spec: mujoco.MjSpec, keep: float = KEEP) -> None:
    """Replaces every large visual mesh of the spec by one with a share `keep` of its faces.

    By quadric edge collapse, which is deterministic. Meshes that collide are left alone.
    """
    model = spec.compile()
    colliding = {g.meshname for g in spec.geoms if g.contype or g.conaffinity}
    for mesh in [m for m in spec.meshes if m.name not in colliding]:
        number = model.mesh(mesh.name).id
        start, count = model.mesh_vertadr[number], model.mesh_vertnum[number]
        first, faces = model.mesh_faceadr[number], model.mesh_facenum[number]
        if faces < SMALLEST:
            continue
        vertices, triangles, *_ = fast_simplification.simplify(
            model.mesh_vert[start : start + count],
            model.mesh_face[first : first + faces],
            target_count=max(int(keep * faces), SMALLEST),
            agg=AGGRESSION,
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
