"""The scene: one object, and a hand or the scenery around it, built with `MjSpec`."""

import dataclasses
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from opendactyl.geometry.articulation import Articulation, wrap_angle
from opendactyl.geometry.rotation import Array
from opendactyl.geometry.symmetry import NO_SYMMETRY, SymmetryGroup
from opendactyl.sim.couplings import Couplings
from opendactyl.sim.hands.model import compile_model, hand_model, is_visual_only, set_options
from opendactyl.sim.hands.spec import DEFAULT_HAND, HandSpec
from opendactyl.sim.hands.transmission import Transmission
from opendactyl.sim.object_geoms import OBJECT_BODY, OBJECT_JOINT, add_object, part_name
from opendactyl.sim.objects.shipped import object_spec
from opendactyl.sim.scenery.model import movable, scenery_model
from opendactyl.sim.scenery.reference import surroundings
from opendactyl.sim.scenery.spec import Scenery
from opendactyl.sim.state import State


def scene_spec(
    object_name: str = "block", hand: str = DEFAULT_HAND, *, visual: bool = True
) -> mujoco.MjSpec:
    """Builds a hand with an object above its palm, or a scene, without cameras and lights.

    Args:
        object_name: a shipped object, or the path of an object's file.
        hand: a shipped hand, the path of a hand's file, or `scene:FILE` for a scene without a hand.
        visual: include the visual geoms: the hand's meshes and the object's faces.

    Returns:
        The spec, with implicitfast integration at 8 ms.

    Raises:
        InputError: there is no such hand or object, or its model cannot be used.
    """
    description = surroundings(hand)
    is_scene = isinstance(description, Scenery)
    spec = scenery_model(description) if is_scene else hand_model(description)
    if not visual:
        for geom in [g for g in spec.geoms if is_visual_only(g)]:
            spec.delete(geom)
        used = {geom.meshname for geom in spec.geoms}
        for mesh in [m for m in spec.meshes if m.name not in used]:
            spec.delete(mesh)
    set_options(spec)
    add_object(spec, object_spec(object_name), description.frame, visual=visual)
    return spec


@dataclass(frozen=True, eq=False)
class Scene:
    """A compiled scene, with the addresses of joints, object and fingertips."""

    model: mujoco.MjModel
    object_name: str
    """Name of the object, or the path of its file, as `object_spec` takes."""
    hand: HandSpec
    """The hand; a `Scenery` has neither actuators nor fingertips."""
    joint_qpos: NDArray[np.intp]
    """Addresses (J,) of the hand's joints in qpos."""
    joint_dof: NDArray[np.intp]
    """Addresses (J,) of the hand's joints in qvel."""
    couplings: Couplings
    """The joints that follow others."""
    transmission: Transmission
    """The joints that each actuator moves."""
    object_qpos: slice
    """Slice of the object's world pose (7,) in qpos."""
    object_dof: slice
    """Slice of the object's velocity (6,) in qvel."""
    object_body: int
    """Id of the object's body; those of its parts are its children."""
    hinge_qpos: NDArray[np.intp]
    """Addresses (H,) of the object's hinges in qpos."""
    hinge_dof: NDArray[np.intp]
    """Addresses (H,) of the object's hinges in qvel."""
    fingertip_sites: NDArray[np.intp]
    """Ids (F,) of the fingertip sites."""
    touch_sensors: NDArray[np.intp]
    """Addresses (F,) of the fingertips' touch in sensordata; (0,) if the hand does not sense it."""
    symmetry: SymmetryGroup = NO_SYMMETRY
    """The object's rotational symmetry."""

    @classmethod
    def compile(cls, spec: mujoco.MjSpec, object_name: str, hand: str = DEFAULT_HAND) -> "Scene":
        """Compiles a spec of `scene_spec` for the same object and hand.

        Raises:
            InputError: MuJoCo cannot compile it.
        """
        description = surroundings(hand)
        model = compile_model(spec, description)
        couplings = Couplings(model, description.where)
        if isinstance(description, Scenery):
            joints = movable(model, couplings.names)
            description = dataclasses.replace(description, joints=joints)
        joints = [model.joint(description.prefix + name) for name in description.joints]
        free = model.joint(OBJECT_JOINT)
        qpos, dof = int(free.qposadr[0]), int(free.dofadr[0])
        obj = object_spec(object_name)
        hinges = [model.joint(part_name(hinge.name)) for hinge in obj.articulation.hinges]
        tips = [model.site(description.prefix + tip.name).id for tip in description.fingertips]
        touch = [model.sensor(description.prefix + name).adr[0] for name in description.touch]
        return cls(
            model=model,
            object_name=object_name,
            hand=description,
            couplings=couplings,
            joint_qpos=np.array([j.qposadr[0] for j in joints], dtype=np.intp),
            joint_dof=np.array([j.dofadr[0] for j in joints], dtype=np.intp),
            transmission=Transmission.of_model(model, description),
            object_qpos=slice(qpos, qpos + 7),
            object_dof=slice(dof, dof + 6),
            object_body=model.body(OBJECT_BODY).id,
            hinge_qpos=np.array([j.qposadr[0] for j in hinges], dtype=np.intp),
            hinge_dof=np.array([j.dofadr[0] for j in hinges], dtype=np.intp),
            fingertip_sites=np.array(tips, dtype=np.intp),
            touch_sensors=np.array(touch, dtype=np.intp),
            symmetry=obj.symmetry,
        )

    @property
    def articulation(self) -> Articulation:
        """The object's keypoints and hinges."""
        return object_spec(self.object_name).articulation

    @property
    def object_bodies(self) -> NDArray[np.intp]:
        """Ids of the object's body and of those of its parts."""
        return np.flatnonzero(self.model.body_rootid == self.object_body)

    @property
    def joint_ids(self) -> NDArray[np.intp]:
        """Ids (J,) of the hand's joints."""
        names = (self.hand.prefix + name for name in self.hand.joints)
        return np.array([self.model.joint(name).id for name in names], dtype=np.intp)

    @property
    def joint_range(self) -> Array:
        """Lower and upper limits (J, 2) of the joints, in radians."""
        return self.model.jnt_range[self.joint_ids].copy()

    @property
    def actuator_range(self) -> Array:
        """Lower and upper limits (A, 2) of the actuators' position targets, in radians."""
        return self.model.actuator_ctrlrange.copy()

    def actuated(self, qpos: ArrayLike) -> Array:
        """The angles (..., A) that the actuators control, from qpos (..., nq)."""
        return self.transmission(np.asarray(qpos)[..., self.joint_qpos])

    def qpos(self, state: State) -> Array:
        """The qpos (nq,) of a state; joints that follow others are where these put them."""
        qpos = self.model.qpos0.copy()
        qpos[self.joint_qpos] = state.joints
        qpos = self.couplings.enforce(qpos)
        position, quat = self.hand.frame.to_world(state.position, state.quaternion)
        qpos[self.object_qpos] = np.concatenate([position, quat])
        at_rest = self.articulation.rest
        qpos[self.hinge_qpos] = state.hinges if len(state.hinges) else at_rest
        return qpos

    def state(self, qpos: ArrayLike) -> State:
        """The state of a qpos (nq,)."""
        qpos = np.asarray(qpos, dtype=np.float64)
        pose = qpos[self.object_qpos]
        position, quat = self.hand.frame.to_hand(pose[:3], pose[3:])
        return State(qpos[self.joint_qpos].copy(), position, quat, self.hinges(qpos))

    def hinges(self, qpos: ArrayLike) -> Array:
        """The angles (..., H) of the object's hinges, in (−π, π], from qpos (..., nq)."""
        return wrap_angle(np.asarray(qpos)[..., self.hinge_qpos])

    def set_state(self, data: mujoco.MjData, state: State) -> None:
        """Resets `data` to a state at rest and calls `mj_forward`."""
        mujoco.mj_resetData(self.model, data)
        data.qpos[:] = self.qpos(state)
        mujoco.mj_forward(self.model, data)

    def fingertips(self, site_xpos: ArrayLike) -> Array:
        """Fingertip positions (..., F, 3) in the hand frame, from `site_xpos` (..., nsite, 3)."""
        return self.hand.frame.points_to_hand(np.asarray(site_xpos)[..., self.fingertip_sites, :])


def load_scene(object_name: str = "block", hand: str = DEFAULT_HAND) -> Scene:
    """The scene for physics, without visual geoms."""
    return Scene.compile(scene_spec(object_name, hand, visual=False), object_name, hand)
