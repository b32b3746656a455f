"""The scene: the Shadow hand of gymnasium-robotics and one object, built with `MjSpec`."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from opendactyl.core.errors import InputError
from opendactyl.geometry.rotation import Array
from opendactyl.geometry.symmetry import NO_SYMMETRY, SymmetryGroup
from opendactyl.sim.hands import names
from opendactyl.sim.hands.hand_frame import points_to_hand, to_hand, to_world
from opendactyl.sim.object_geoms import add_object
from opendactyl.sim.objects.shipped import object_spec
from opendactyl.sim.state import State

HAND_GROUP = 1
"""Geom group of the hand's visual geoms."""


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
        object_name: a shipped object, or the path of an object's file.
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
    add_object(spec, object_spec(object_name), visual=visual)
    return spec


def _is_visual_only(geom: mujoco.MjsGeom) -> bool:
    return geom.contype == 0 and geom.conaffinity == 0 and geom.group == HAND_GROUP


@dataclass(frozen=True, eq=False)
class Scene:
    """A compiled scene, with the addresses of joints, object and fingertips."""

    model: mujoco.MjModel
    object_name: str
    """Name of the object, or the path of its file, as `object_spec` takes."""
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
    symmetry: SymmetryGroup = NO_SYMMETRY
    """The object's rotational symmetry."""

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
            symmetry=object_spec(object_name).symmetry,
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
