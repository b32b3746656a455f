"""Writes physics parameters into a batch, as model fields of each simulation."""

import mujoco
import numpy as np
from mujoco.batch import Batch
from numpy.typing import NDArray

from opendactyl.geometry.rotation import Array
from opendactyl.policy.randomization.physics import Physics
from opendactyl.sim.hands.spec import DEFAULT_HAND
from opendactyl.sim.object_geoms import collision_hulls, collision_name
from opendactyl.sim.objects.shipped import object_spec
from opendactyl.sim.scene import Scene, scene_spec

MESH_SIZES = np.round(np.linspace(0.9, 1.1, 21), 3)
"""Available sizes of an object with a mesh: meshes are compiled in advance, and an episode gets the
size nearest to its sample. The size of a box is continuous."""


def sized_scene(object_name: str, hand: str = DEFAULT_HAND) -> Scene:
    """The scene without visual geoms, with the object's meshes in every size of `MESH_SIZES`."""
    spec = scene_spec(object_name, hand, visual=False)
    for hull, vertices in enumerate(collision_hulls(object_spec(object_name))):
        for number, size in enumerate(MESH_SIZES):
            spec.add_mesh(name=_mesh_name(number, hull), uservert=(size * vertices).ravel())
    return Scene.compile(spec, object_name, hand)


def link_names(scene: Scene, links: NDArray[np.intp]) -> tuple[str, ...]:
    """Names of bodies (L,) without the prefix of the hand's; "body" and the id where none is."""
    names = [scene.model.body(int(link)).name.removeprefix(scene.hand.prefix) for link in links]
    return tuple(name or f"body{link}" for name, link in zip(names, links, strict=True))


def _mesh_name(number: int, hull: int) -> str:
    return f"object:size{number}" + (f":hull{hull}" if hull else "")


class ModelFields:
    """The randomized model fields of B simulations, and their nominal values."""

    _FIELDS = (
        "geom_size", "geom_aabb", "geom_rbound", "geom_dataid", "geom_friction", "pair_friction",
        "body_mass", "body_inertia", "dof_damping", "dof_armature", "dof_frictionloss",
        "actuator_gainprm", "actuator_biasprm",
        "jnt_range",
    )  # fmt: skip

    def __init__(self, batch: Batch, scene: Scene) -> None:
        """Expands the fields of a batch to one value per simulation.

        Args:
            batch: the simulations.
            scene: their scene, from `sized_scene`.
        """
        model = scene.model
        self._batch, self._model = batch, model
        self._nominal = {name: np.array(getattr(model, name)) for name in self._FIELDS}
        self._own = {name: batch.expand(name) for name in self._FIELDS}
        self._gravity, self._nominal_gravity = batch.expand("opt.gravity"), model.opt.gravity.copy()
        self.timestep: NDArray[np.float64] = batch.expand("opt.timestep").reshape(batch.nsim)
        """Physics step of each simulation (B,) in seconds; a view that can be written to."""
        count = max(len(collision_hulls(object_spec(scene.object_name))), 1)
        self._geoms = np.array([model.geom(collision_name(n)).id for n in range(count)])
        self._body = scene.object_body
        bodies = np.arange(1, model.nbody)
        self._object = scene.object_bodies
        self.links = bodies[~np.isin(bodies, scene.object_bodies) & (model.body_mass[1:] > 0)]
        """Ids (L,) of the hand's bodies with mass."""
        self.link_names = link_names(scene, self.links)
        self._dofs = scene.joint_dof
        self._joints = scene.joint_ids
        self._meshes = np.array(
            [
                [model.mesh(_mesh_name(n, hull)).id for hull in range(count)]
                for n in range(len(MESH_SIZES))
            ]
            if model.geom_type[self._geoms[0]] == mujoco.mjtGeom.mjGEOM_MESH
            else [],
            dtype=np.int64,
        )
        # The frame of a mesh is that of its inertia, whose offset from the body grows with size.
        self._has_offsets = bool(np.any(np.abs(model.geom_pos[self._geoms]) > 1e-9)) or (
            np.any(np.abs(model.body_ipos[self._body]) > 1e-9)
        )
        if self._has_offsets:
            for name in ("geom_pos", "geom_quat", "body_ipos"):
                self._nominal[name] = np.array(getattr(model, name))
                self._own[name] = batch.expand(name)

    def apply(self, ids: NDArray[np.intp], physics: list[Physics]) -> None:
        """Applies physics parameters (K) to simulations `ids` (K,)."""
        size = np.array([p.object_size for p in physics])
        # The positions of parts and hinges would have to grow as well.
        self._set_size(ids, np.ones_like(size) if len(self._object) > 1 else size)
        self._set_masses(ids, physics)
        friction = np.array([p.friction for p in physics])
        self._scale("geom_friction", ids, friction[:, None, None])
        self._scale("pair_friction", ids, friction[:, None, None])
        self._scale("dof_damping", ids, self._of_joints(1.0, [p.joint_damping for p in physics]))
        self._scale("dof_armature", ids, self._of_joints(1.0, [p.joint_armature for p in physics]))
        friction_loss = self._of_joints(0.0, [p.joint_friction for p in physics])
        self._own["dof_frictionloss"][ids] = np.maximum(
            self._nominal["dof_frictionloss"] + friction_loss, 0.0
        )
        gain = np.array([p.actuator_gain for p in physics])[:, :, None]
        self._scale("actuator_gainprm", ids, gain)
        self._scale("actuator_biasprm", ids, gain)
        limits = self._nominal["jnt_range"][self._joints] + [p.joint_limits for p in physics]
        # Crossed limits would allow no angle.
        self._own["jnt_range"][np.ix_(ids, self._joints)] = np.sort(limits, axis=-1)
        self._gravity[ids] = self._nominal_gravity + [p.gravity for p in physics]
        self._batch.set_const(ids)
        # set_const() updates the body's bounding volume but resets a mesh's sphere to nominal.
        sphere = self._nominal["geom_rbound"][self._geoms]
        self._own["geom_rbound"][np.ix_(ids, self._geoms)] = sphere * self._size[:, None]

    def _of_joints(self, other: float, values: list[Array]) -> Array:
        """Values of joints (K, J) as those of degrees of freedom (K, nv)."""
        every = np.full((len(values), self._model.nv), other)
        every[:, self._dofs] = values
        return every

    def _scale(self, name: str, ids: NDArray[np.intp], factor: NDArray[np.float64]) -> None:
        self._own[name][ids] = self._nominal[name] * factor

    def _set_masses(self, ids: NDArray[np.intp], physics: list[Physics]) -> None:
        factor = np.ones((len(ids), self._model.nbody))
        factor[:, self.links] = [p.link_mass for p in physics]
        factor[:, self._object] = np.array([p.object_mass for p in physics])[:, None]
        self._scale("body_mass", ids, factor)
        inertia = self._nominal["body_inertia"] * factor[:, :, None]
        inertia[:, self._body] *= self._size[:, None] ** 2
        self._own["body_inertia"][ids] = inertia

    def _set_size(self, ids: NDArray[np.intp], size: NDArray[np.float64]) -> None:
        """Sets the size of the object's geoms."""
        chosen = np.ix_(ids, self._geoms)
        if len(self._meshes):
            nearest = np.abs(MESH_SIZES - size[:, None]).argmin(axis=1)
            size = MESH_SIZES[nearest]
            self._own["geom_dataid"][chosen] = self._meshes[nearest]
            if self._has_offsets:
                self._own["geom_pos"][chosen] = self._model.mesh_pos[self._meshes[nearest]]
                self._own["geom_quat"][chosen] = self._model.mesh_quat[self._meshes[nearest]]
                offset = self._nominal["body_ipos"][self._body]
                self._own["body_ipos"][ids, self._body] = offset * size[:, None]
        for name in ("geom_size", "geom_aabb"):
            nominal = self._nominal[name][self._geoms]
            factor = size.reshape(-1, *[1] * nominal.ndim)
            self._own[name][chosen] = nominal * factor
        self._size = size
