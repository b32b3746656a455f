"""The scene: the Shadow hand of gymnasium-robotics and one object, built with `MjSpec`."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from opendactyl.core.errors import InputError
from opendactyl.geometry.rotation import Array, matrix_to_quat, quat_multiply, yaw_quat
from opendactyl.sim.hands import names
from opendactyl.sim.hands.hand_frame import points_to_hand, to_hand, to_world
from opendactyl.sim.objects.letters import letter_boxes
from opendactyl.sim.objects.shipped import object_spec
from opendactyl.sim.objects.spec import Face, ObjectSpec
from opendactyl.sim.state import State

HAND_GROUP = 1
OBJECT_GROUP = 2
COLLISION_GROUP = 4
"""Geom groups: visual geoms of the hand, visual geoms of the object, collision geoms."""

# Coplanar visible faces would flicker (z-fighting): plates are inset from the edges, and strokes of
# a letter differ in height by 0.1 mm.
_PLATE = 0.0004
_LETTER_LIFT = 0.0003
_START_POSITION = (0.0, 0.0, 0.03)


def hand_folder() -> Path:
    """The folder of the hand's MJCF in gymnasium-robotics, without importing the package.

    Raises:
        InputError: gymnasium-robotics is not installed.
    """
    found = importlib.util.find_spec("gymnasium_robotics")
    if found is None or not found.submodule_search_locations:
        raise InputError(
            "the hand's MJCF is part of gymnasium-robotics, which is not installed; "
            'pip install "opendactyl[sim]"'
        )
    return Path(found.submodule_search_locations[0]) / "envs" / "assets" / "hand"


def scene_spec(object_name: str = "block", *, visual: bool = True) -> mujoco.MjSpec:
    """Builds the hand with an object above its palm, without floor, cameras and lights.

    Args:
        object_name: a key of `OBJECTS`.
        visual: include the visual geoms: the hand's meshes and the object's faces.

    Returns:
        The spec, with implicitfast integration at 8 ms.
    """
    spec = mujoco.MjSpec.from_file(str(hand_folder() / "manipulate_block.xml"))
    for body in ("object", "target", "floor0"):
        spec.delete(spec.body(body))
    spec.delete(spec.geom("floor0"))
    for element in (*spec.lights, *spec.sensors, *spec.textures):
        spec.delete(element)
    # Only the tendons that couple two joints have an effect. The others are limits, which are wider
    # than those of the joints.
    for tendon in [t for t in spec.tendons if not t.name.endswith("1c")]:
        spec.delete(tendon)
    for material in spec.materials:
        if material.name != names.PREFIX + "MatViz":
            material.textures = [""] * len(material.textures)
    if not visual:
        for geom in [g for g in spec.geoms if _is_visual_only(g)]:
            spec.delete(geom)
        used = {geom.meshname for geom in spec.geoms}
        for mesh in [m for m in spec.meshes if m.name not in used]:
            spec.delete(mesh)
    spec.option.timestep = names.TIMESTEP
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.iterations = 20
    # Hand and object form one constraint island; detecting it takes 6 % of a step.
    spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_ISLAND
    _add_object(spec, object_spec(object_name), visual=visual)
    return spec


def _is_visual_only(geom: mujoco.MjsGeom) -> bool:
    return geom.contype == 0 and geom.conaffinity == 0 and geom.group == HAND_GROUP


def _add_object(spec: mujoco.MjSpec, obj: ObjectSpec, *, visual: bool) -> None:
    position, quat = to_world(np.array(_START_POSITION), [1.0, 0.0, 0.0, 0.0])
    body = spec.worldbody.add_body(name=names.OBJECT_BODY, pos=position, quat=quat)
    # Friction and damping of gymnasium-robotics' manipulate_block.xml.
    body.add_joint(name=names.OBJECT_JOINT, type=mujoco.mjtJoint.mjJNT_FREE, damping=[0.01, 0, 0])
    shape = {"type": mujoco.mjtGeom.mjGEOM_BOX, "size": obj.half_extent}
    if not obj.is_box:
        spec.add_mesh(name=obj.name, uservert=obj.corners.ravel())
        shape = {"type": mujoco.mjtGeom.mjGEOM_MESH, "meshname": obj.name}
    body.add_geom(
        name="object", mass=obj.mass, condim=4, group=COLLISION_GROUP, contype=1, conaffinity=1,
        **shape,
    )  # fmt: skip
    if visual:
        _add_faces(spec, body, obj, shape)


def _add_faces(
    spec: mujoco.MjSpec, body: mujoco.MjsBody, obj: ObjectSpec, shape: dict[str, object]
) -> None:
    inert: dict[str, object] = {"mass": 0, "contype": 0, "conaffinity": 0, "group": OBJECT_GROUP}
    spec.add_material(name="object:core", rgba=[0.05, 0.05, 0.05, 1])
    core = dict(shape)
    if obj.is_box:
        core["size"] = obj.half_extent - _PLATE
    else:
        core["meshname"] = "object:core"
        spec.add_mesh(name="object:core", uservert=_shrunk_corners(obj).ravel())
    body.add_geom(name="object:core", material="object:core", **inert, **core)
    for number, face in enumerate(obj.faces):
        spec.add_material(name=f"object:face{number}", rgba=[*face.rgb, 1])
        spec.add_material(name=f"object:letter{number}", rgba=[1, 1, 1, 1])
        _add_plate(body, face, f"object:face{number}", inert)
        for stroke, box in enumerate(letter_boxes(face.letter, face.half_size)):
            frame = face.frame.copy()
            frame[:3, 3] += frame[:3, :3] @ [box[0], box[1], 0.0]
            body.add_geom(
                name=f"object:letter{number}:{stroke}",
                type=mujoco.mjtGeom.mjGEOM_BOX,
                pos=frame[:3, 3],
                quat=quat_multiply(matrix_to_quat(frame[:3, :3]), yaw_quat(box[4])),
                size=[box[2], box[3], _LETTER_LIFT * (1 + stroke / 3)],
                material=f"object:letter{number}",
                **inert,
            )


def _shrunk_corners(obj: ObjectSpec) -> Array:
    """The corners (K, 3), scaled so that each face lies at least `_PLATE` below the original."""
    nearest = min(face.frame[:3, 3] @ face.frame[:3, 2] for face in obj.faces)
    return obj.corners * (1 - _PLATE / nearest)


def _add_plate(body: mujoco.MjsBody, face: Face, name: str, inert: dict[str, object]) -> None:
    normal = face.frame[:3, 2]
    body.add_geom(
        name=name,
        type=mujoco.mjtGeom.mjGEOM_BOX,
        pos=face.frame[:3, 3] - normal * _PLATE,
        quat=matrix_to_quat(face.frame[:3, :3]),
        size=[face.half_size[0] - _PLATE, face.half_size[1] - _PLATE, _PLATE],
        material=name,
        **inert,
    )


@dataclass(frozen=True, eq=False)
class Scene:
    """A compiled scene, with the addresses of joints, object and fingertips."""

    model: mujoco.MjModel
    object_name: str
    """Name of the object, a key of `OBJECTS`."""
    joint_qpos: NDArray[np.intp]
    """Addresses (24,) of the hand's joints in qpos."""
    joint_dof: NDArray[np.intp]
    """Addresses (24,) of the hand's joints in qvel."""
    object_qpos: slice
    """Slice of the object's world pose (7,) in qpos."""
    object_dof: slice
    """Slice of the object's velocity (6,) in qvel."""
    object_body: int
    fingertip_sites: NDArray[np.intp]
    """Ids (5,) of the fingertip sites."""

    @classmethod
    def compile(cls, spec: mujoco.MjSpec, object_name: str) -> "Scene":
        """Compiles a spec of `scene_spec` for the same object."""
        model = spec.compile()
        joints = [model.joint(names.PREFIX + name) for name in names.JOINTS]
        free = model.joint(names.OBJECT_JOINT)
        qpos, dof = int(free.qposadr[0]), int(free.dofadr[0])
        return cls(
            model=model,
            object_name=object_name,
            joint_qpos=np.array([j.qposadr[0] for j in joints]),
            joint_dof=np.array([j.dofadr[0] for j in joints]),
            object_qpos=slice(qpos, qpos + 7),
            object_dof=slice(dof, dof + 6),
            object_body=model.body(names.OBJECT_BODY).id,
            fingertip_sites=np.array([model.site(names.PREFIX + f).id for f in names.FINGERTIPS]),
        )

    @property
    def joint_range(self) -> Array:
        """Lower and upper limits (24, 2) of the joints, in radians."""
        ids = [self.model.joint(names.PREFIX + name).id for name in names.JOINTS]
        return self.model.jnt_range[ids].copy()

    @property
    def actuator_range(self) -> Array:
        """Lower and upper limits (20, 2) of the actuators' position targets, in radians."""
        return self.model.actuator_ctrlrange.copy()

    def qpos(self, state: State) -> Array:
        """The qpos (nq,) of a state."""
        qpos = self.model.qpos0.copy()
        qpos[self.joint_qpos] = state.joints
        position, quat = to_world(state.position, state.quaternion)
        qpos[self.object_qpos] = np.concatenate([position, quat])
        return qpos

    def state(self, qpos: ArrayLike) -> State:
        """The state of a qpos (nq,)."""
        qpos = np.asarray(qpos, dtype=np.float64)
        pose = qpos[self.object_qpos]
        return State(qpos[self.joint_qpos].copy(), *to_hand(pose[:3], pose[3:]))

    def set_state(self, data: mujoco.MjData, state: State) -> None:
        """Resets `data` to a state at rest and calls `mj_forward`."""
        mujoco.mj_resetData(self.model, data)
        data.qpos[:] = self.qpos(state)
        mujoco.mj_forward(self.model, data)

    def fingertips(self, site_xpos: ArrayLike) -> Array:
        """Fingertip positions (..., 5, 3) in the hand frame, from `site_xpos` (..., nsite, 3)."""
        return points_to_hand(np.asarray(site_xpos)[..., self.fingertip_sites, :])


def load_scene(object_name: str = "block") -> Scene:
    """The scene for physics, without visual geoms."""
    return Scene.compile(scene_spec(object_name, visual=False), object_name)
