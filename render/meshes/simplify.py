"""A hand that is cheaper to draw: rendering time is dominated by its 41,000 mesh faces."""

import fast_simplification
import mujoco
import numpy as np
from numpy.typing import NDArray

from opendactyl.geometry.rig import Rig
from opendactyl.render.meshes.visibility import seen_by, seen_from_outside
from opendactyl.sim.hands.hand_frame import points_to_hand

KEEP = 0.4
"""The share of a mesh's faces to aim at; a mesh keeps more when its surface would suffer."""
AGGRESSION = 2
"""How much surface error a collapse may add, from 0 to 10. Above it a picture is further from one
with all faces than MuJoCo's own default quality is."""
SMALLEST = 300
"""Meshes of fewer faces than this are left alone."""


def simplify_hand(spec: mujoco.MjSpec, rig: Rig | None = None) -> None:
    """Replaces every large visual mesh of the spec by one with fewer faces.

    A mesh that moves is coarsened by quadric edge collapse to a share `KEEP`. The forearm, which
    does not, loses what the cameras of `rig` cannot show, or without a rig what cannot be seen from
    outside: it is full of machinery, and its outside is made of edges that a collapse would blur.
    Both are deterministic. Meshes that collide are left alone.
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
        fixed = _fixed_in_hand(model, number, vertices)
        if fixed is not None:
            corners = fixed[triangles]
            seen = seen_from_outside(corners) if rig is None else seen_by(rig, corners)
            triangles = triangles[seen]
        else:
            vertices, triangles, *_ = fast_simplification.simplify(
                vertices, triangles, target_count=max(int(KEEP * faces), SMALLEST), agg=AGGRESSION
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


def _fixed_in_hand(
    model: mujoco.MjModel, mesh: int, vertices: NDArray[np.float32]
) -> NDArray[np.float64] | None:
    """A mesh's vertices (N, 3) in the hand frame, if its only use is a part that never moves."""
    is_mesh = model.geom_type == mujoco.mjtGeom.mjGEOM_MESH
    geoms = np.flatnonzero(is_mesh & (model.geom_dataid == mesh))
    if len(geoms) != 1 or model.body_weldid[model.geom_bodyid[geoms[0]]] != 0:
        return None
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    turned = vertices.astype(np.float64) @ data.geom_xmat[geoms[0]].reshape(3, 3).T
    return points_to_hand(turned + data.geom_xpos[geoms[0]])


def cast_fewer_shadows(spec: mujoco.MjSpec) -> None:
    """Leaves the room, and plates and letters on the object, out of the shadow map.

    Walls shade nothing, the object's core shades what its faces do, and thin boxes so close to one
    another only speckle each other.
    """
    for geom in spec.geoms:
        on_core = geom.name.startswith(("object:face", "object:letter"))
        if on_core or geom.type == mujoco.mjtGeom.mjGEOM_PLANE:
            geom.castshadow = False
