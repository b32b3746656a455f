"""The object's body in an `MjSpec`: collision geoms, coloured faces, letters and surfaces."""

import itertools
from collections.abc import Iterator
from typing import Any

import mujoco
import numpy as np

from opendactyl.geometry.rotation import Array, matrix_to_quat, quat_multiply, yaw_quat
from opendactyl.sim.hands.frame import HandFrame
from opendactyl.sim.objects.letters import letter_boxes
from opendactyl.sim.objects.spec import Face, ObjectSpec, Part, Surface

OBJECT_BODY = "object"
OBJECT_JOINT = "object:joint"
CORE = "object:core"
OBJECT_GROUP = 2
COLLISION_GROUP = 4
"""Geom groups: visual geoms of the object, collision geoms."""

# Coplanar visible faces would flicker (z-fighting): plates are inset from the edges, and strokes of
# a letter differ in height by 0.1 mm.
_PLATE = 0.0004
_LETTER_LIFT = 0.0003
_START_POSITION = (0.0, 0.0, 0.03)


def add_object(spec: mujoco.MjSpec, obj: ObjectSpec, frame: HandFrame, *, visual: bool) -> None:
    """Adds the object above the origin of a hand frame, with or without its visual geoms."""
    position, quat = frame.to_world(np.array(_START_POSITION), [1.0, 0.0, 0.0, 0.0])
    body = spec.worldbody.add_body(name=OBJECT_BODY, pos=position, quat=quat)
    # Friction and damping of gymnasium-robotics' manipulate_block.xml.
    body.add_joint(name=OBJECT_JOINT, type=mujoco.mjtJoint.mjJNT_FREE, damping=[0.01, 0, 0])
    bodies = [body, *(_add_part(body, part) for part in obj.attached)]
    hulls, faces, surfaces = itertools.count(), itertools.count(), itertools.count()
    for body, own in zip(bodies, obj.bodies, strict=True):
        shape = _add_collision_geoms(spec, body, own, obj.name, hulls)
        if visual:
            _add_visual_geoms(spec, body, own, shape, faces, surfaces)


def _add_part(body: mujoco.MjsBody, part: Part) -> mujoco.MjsBody:
    """Adds the body of a part and its hinge."""
    hinge = part.hinge
    child = body.add_body(name=part_name(hinge.name), pos=part.position)
    limits = {} if hinge.limits is None else {"limited": True, "range": hinge.limits}
    child.add_joint(
        name=part_name(hinge.name), type=mujoco.mjtJoint.mjJNT_HINGE, axis=hinge.axis,
        pos=np.array(hinge.anchor) - part.position, damping=[part.damping, 0, 0],
        frictionloss=part.friction, **limits,
    )  # fmt: skip
    return child


def part_name(name: str) -> str:
    """The name of the body and of the hinge of a part."""
    return f"{OBJECT_BODY}:part:{name}"


def collision_name(number: int) -> str:
    """The name of the object's collision geom with a number."""
    return "object" if number == 0 else f"object:hull{number}"


def collision_hulls(obj: ObjectSpec) -> tuple[Array, ...]:
    """Vertices (N, 3) of the meshes of a body that collide; empty for a box and a cylinder."""
    if obj.solid is not None:
        return obj.solid.hulls
    return () if obj.is_box or obj.cylinder else (obj.hull_points,)


def _add_collision_geoms(
    spec: mujoco.MjSpec, body: mujoco.MjsBody, obj: ObjectSpec, mesh: str, numbers: Iterator[int]
) -> dict[str, Any]:
    """Adds geoms, and the mass properties of a mesh; returns the shape of the first."""
    contact = {} if obj.friction is None else {"friction": _friction(obj.friction)}
    hulls = collision_hulls(obj)
    shapes = []
    for hull in hulls or (None,):
        number = next(numbers)
        if hull is not None:
            name = mesh if number == 0 else f"{mesh}:hull{number}"
            spec.add_mesh(name=name, uservert=hull.ravel())
            shapes.append({"type": mujoco.mjtGeom.mjGEOM_MESH, "meshname": name})
        elif obj.cylinder:
            shapes.append({"type": mujoco.mjtGeom.mjGEOM_CYLINDER, "size": [*obj.cylinder, 0]})
        else:
            shapes.append({"type": mujoco.mjtGeom.mjGEOM_BOX, "size": obj.half_extent})
        body.add_geom(
            name=collision_name(number), mass=0.0 if obj.solid else obj.mass, condim=4,
            group=COLLISION_GROUP, contype=1, conaffinity=1, **contact, **shapes[-1],
        )  # fmt: skip
    if obj.solid is not None:
        i = obj.solid.inertia
        body.mass, body.ipos, body.explicitinertial = obj.mass, obj.solid.centre_of_mass, True
        body.fullinertia = [i[0, 0], i[1, 1], i[2, 2], i[0, 1], i[0, 2], i[1, 2]]
    return shapes[0]


def _friction(given: tuple[float, ...]) -> list[float]:
    """MuJoCo's three coefficients: its defaults where none are given."""
    return [*given, *(1.0, 0.005, 0.0001)[len(given) :]]


def _add_visual_geoms(
    spec: mujoco.MjSpec,
    body: mujoco.MjsBody,
    obj: ObjectSpec,
    shape: dict[str, Any],
    faces: Iterator[int],
    surfaces: Iterator[int],
) -> None:
    inert: dict[str, Any] = {"mass": 0, "contype": 0, "conaffinity": 0, "group": OBJECT_GROUP}
    if obj.solid is None:
        _add_core(spec, body, obj, shape | inert)
    for face in obj.faces:
        number = next(faces)
        spec.add_material(name=f"object:face{number}", rgba=[*face.rgb, 1])
        spec.add_material(name=f"object:letter{number}", rgba=[1, 1, 1, 1])
        if not face.textured:
            _add_plate(body, face, f"object:face{number}", inert)
        if face.letter:
            _add_letter(body, face, f"object:letter{number}", inert)
    for surface in obj.surfaces:
        _add_surface(spec, body, surface, f"object:surface{next(surfaces)}", inert)


def _add_core(
    spec: mujoco.MjSpec, body: mujoco.MjsBody, obj: ObjectSpec, values: dict[str, Any]
) -> None:
    """A dark solid just below the surface of a box, prism or cylinder."""
    name = CORE + body.name.removeprefix(OBJECT_BODY)
    spec.add_material(name=name, rgba=[0.05, 0.05, 0.05, 1])
    if obj.is_box:
        values["size"] = obj.half_extent - _PLATE
    elif obj.cylinder:
        values["size"] = [obj.cylinder[0] - _PLATE, obj.cylinder[1] - _PLATE, 0]
    else:
        values["meshname"] = name
        spec.add_mesh(name=name, uservert=_shrunk_corners(obj).ravel())
    body.add_geom(name=name, material=name, **values)


def _add_letter(body: mujoco.MjsBody, face: Face, material: str, inert: dict[str, Any]) -> None:
    for stroke, box in enumerate(letter_boxes(face.letter, face.half_size)):
        frame = face.frame.copy()
        frame[:3, 3] += frame[:3, :3] @ [box[0], box[1], 0.0]
        body.add_geom(
            name=f"{material}:{stroke}",
            type=mujoco.mjtGeom.mjGEOM_BOX,
            pos=frame[:3, 3],
            quat=quat_multiply(matrix_to_quat(frame[:3, :3]), yaw_quat(box[4])),
            size=[box[2], box[3], _LETTER_LIFT * (1 + stroke / 3)],
            material=material,
            **inert,
        )


def _shrunk_corners(obj: ObjectSpec) -> Array:
    """The vertices (K, 3), scaled so that each face lies at least `_PLATE` below the original."""
    nearest = min(face.frame[:3, 3] @ face.frame[:3, 2] for face in obj.faces)
    return obj.hull_points * (1 - _PLATE / nearest)


def _add_plate(body: mujoco.MjsBody, face: Face, name: str, inert: dict[str, Any]) -> None:
    normal = face.frame[:3, 2]
    if face.radius:
        kind, size = mujoco.mjtGeom.mjGEOM_CYLINDER, [face.radius - _PLATE, _PLATE, 0]
    else:
        kind = mujoco.mjtGeom.mjGEOM_BOX
        size = [face.half_size[0] - _PLATE, face.half_size[1] - _PLATE, _PLATE]
    body.add_geom(
        name=name,
        type=kind,
        pos=face.frame[:3, 3] - normal * _PLATE,
        quat=matrix_to_quat(face.frame[:3, :3]),
        size=size,
        material=name,
        **inert,
    )


def _add_surface(
    spec: mujoco.MjSpec, body: mujoco.MjsBody, surface: Surface, name: str, inert: dict[str, Any]
) -> None:
    mesh = spec.add_mesh(
        name=name, uservert=surface.vertices.ravel(), userface=surface.triangles.ravel(),
        # Open and flat surfaces have no volume.
        inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL,
    )  # fmt: skip
    material = spec.add_material(name=name, rgba=[*surface.rgb, 1])
    if surface.texture is not None and surface.uv is not None:
        assert surface.uv_triangles is not None
        # MuJoCo counts v from the top.
        mesh.usertexcoord = (surface.uv * [1.0, -1.0] + [0.0, 1.0]).ravel()
        mesh.userfacetexcoord = surface.uv_triangles.ravel()
        height, width = surface.texture.shape[:2]
        texture = spec.add_texture(
            name=name, type=mujoco.mjtTexture.mjTEXTURE_2D, width=width, height=height, nchannel=3
        )
        texture.data = surface.texture.tobytes()
        material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name
    body.add_geom(name=name, type=mujoco.mjtGeom.mjGEOM_MESH, meshname=name, material=name, **inert)
