"""The surface of a geom as a triangle mesh."""

import mujoco
import numpy as np
import trimesh

from opendactyl.geometry.rotation import quat_to_matrix

_Geom = mujoco.mjtGeom


def geom_mesh(model: mujoco.MjModel, geom: int) -> trimesh.Trimesh:
    """The surface of a geom in the frame of its body.

    Raises:
        ValueError: the geom is a plane or a height field, or has another type without a surface.
    """
    mesh = _own_mesh(model, geom)
    frame = np.eye(4)
    frame[:3, :3] = quat_to_matrix(model.geom_quat[geom])
    frame[:3, 3] = model.geom_pos[geom]
    mesh.apply_transform(frame)
    return mesh


def _own_mesh(model: mujoco.MjModel, geom: int) -> trimesh.Trimesh:
    kind, size = _Geom(model.geom_type[geom]), model.geom_size[geom]
    if kind == _Geom.mjGEOM_BOX:
        return trimesh.creation.box(extents=2 * size)
    if kind == _Geom.mjGEOM_CYLINDER:
        return trimesh.creation.cylinder(size[0], 2 * size[1])
    if kind == _Geom.mjGEOM_CAPSULE:
        return trimesh.creation.capsule(radius=size[0], height=2 * size[1], count=(16, 16))
    if kind in (_Geom.mjGEOM_SPHERE, _Geom.mjGEOM_ELLIPSOID):
        ball = trimesh.creation.icosphere(subdivisions=2)
        ball.apply_scale(size if kind == _Geom.mjGEOM_ELLIPSOID else size[0])
        return ball
    if kind != _Geom.mjGEOM_MESH:
        raise ValueError(f"geom {model.geom(geom).name!r} has no surface of triangles")
    number = model.geom_dataid[geom]
    start, count = model.mesh_vertadr[number], model.mesh_vertnum[number]
    first, faces = model.mesh_faceadr[number], model.mesh_facenum[number]
    return trimesh.Trimesh(
        model.mesh_vert[start : start + count],
        model.mesh_face[first : first + faces],
        process=False,
    )
