"""Simplification of the hand's meshes, whose faces dominate the rendering time."""

from fnmatch import fnmatchcase

import fast_simplification
import mujoco
import numpy as np
from numpy.typing import NDArray

from opendactyl.geometry.rig import Rig
from opendactyl.render.meshes.visibility import visible_from_outside, visible_from_rig
from opendactyl.sim.hands.model import is_visual_only
from opendactyl.sim.hands.spec import HandSpec
from opendactyl.sim.object_geoms import CORE

KEEP = 0.4
"""Target fraction of a mesh's faces; a mesh keeps more where the error would be too large."""
AGGRESSION = 2
"""Aggressiveness of the edge collapse, from 0 to 10.

Above 2, images differ more from those with all faces than images of MuJoCo's default quality do.
"""
SMALLEST = 300
"""Meshes with fewer faces are not simplified."""


def simplify_hand(spec: mujoco.MjSpec, hand: HandSpec, rig: Rig | None = None) -> None:
    """Replaces the large visual meshes of the spec by meshes with fewer faces.

    Moving meshes that `HandSpec.coarse` names are simplified to a fraction `KEEP` by quadric edge
    collapse. Static ones keep the faces that are visible to the cameras of `rig`, or from outside
    if no rig is given: most of their faces are internal, and edge collapse would blur their sharp
    edges. Both methods are deterministic. What collides is not changed.
    """
    model = spec.compile()
    for mesh in [m for m in spec.meshes if _is_coarse(m.name, hand)]:
        geoms = [g for g in spec.geoms if g.meshname == mesh.name]
        visual = [g for g in geoms if is_visual_only(g)]
        if not visual:
            continue
        number = model.mesh(mesh.name).id
        start, count = model.mesh_vertadr[number], model.mesh_vertnum[number]
        first, faces = model.mesh_faceadr[number], model.mesh_facenum[number]
        if faces < SMALLEST:
            continue
        vertices = model.mesh_vert[start : start + count]
        triangles = model.mesh_face[first : first + faces]
        static = _static_vertices(model, number, vertices, hand)
        if static is not None:
            corners = static[triangles]
            visible = visible_from_rig(rig, corners) if rig else visible_from_outside(corners)
            triangles = triangles[visible]
        else:
            vertices, triangles, *_ = fast_simplification.simplify(
                vertices, triangles, target_count=max(int(KEEP * faces), SMALLEST), agg=AGGRESSION
            )
        # Undo the compiler's transform of the vertices, so that the poses of geoms stay valid.
        rotation = np.empty(9)
        mujoco.mju_quat2Mat(rotation, model.mesh_quat[number])
        vertices = vertices @ rotation.reshape(3, 3).T + model.mesh_pos[number]
        simple = spec.add_mesh(
            name=mesh.name + ":simple", uservert=vertices.ravel(), userface=triangles.ravel()
        )
        for geom in visual:
            geom.meshname = simple.name
        if len(visual) == len(geoms):
            spec.delete(mesh)


def _is_coarse(mesh: str, hand: HandSpec) -> bool:
    name = mesh.removeprefix(hand.prefix)
    of_object = mesh.startswith("object:")
    return not of_object and any(fnmatchcase(name, pattern) for pattern in hand.coarse)


def _static_vertices(
    model: mujoco.MjModel, mesh: int, vertices: NDArray[np.float32], hand: HandSpec
) -> NDArray[np.float64] | None:
    """Vertices (N, 3) in the hand frame of a mesh whose only geom is static, else None."""
    is_mesh = model.geom_type == mujoco.mjtGeom.mjGEOM_MESH
    geoms = np.flatnonzero(is_mesh & (model.geom_dataid == mesh))
    if len(geoms) != 1 or model.body_weldid[model.geom_bodyid[geoms[0]]] != 0:
        return None
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    rotated = vertices.astype(np.float64) @ data.geom_xmat[geoms[0]].reshape(3, 3).T
    return hand.frame.points_to_hand(rotated + data.geom_xpos[geoms[0]])


def reduce_shadow_casters(spec: mujoco.MjSpec) -> None:
    """Excludes the room, and what covers the core of the object, from the shadow map.

    The walls cast no visible shadow, the object's core casts that of its faces, and thin boxes at
    small distances cause speckles (shadow acne).
    """
    with_core = {geom.parent.name for geom in spec.geoms if geom.name.startswith(CORE)}
    covers = ("object:face", "object:letter", "object:surface")
    for geom in spec.geoms:
        on_object = geom.name.startswith(covers) and geom.parent.name in with_core
        if on_object or geom.type == mujoco.mjtGeom.mjGEOM_PLANE:
            geom.castshadow = False
