"""Puts drawn physics into a batch: every simulation's own model fields, from the nominal model."""

import mujoco
import numpy as np
from mujoco.batch import Batch
from numpy.typing import NDArray

from opendactyl.policy.randomization.physics import Physics
from opendactyl.sim.hands import names
from opendactyl.sim.objects.shipped import object_spec
from opendactyl.sim.scene import Scene, scene_spec

MESH_SIZES = np.round(np.linspace(0.9, 1.1, 21), 3)
"""Sizes that an object with a mesh comes in: meshes are compiled before the first episode, and an
episode gets the one nearest to what it drew. A box has any size."""


def sized_scene(object_name: str) -> Scene:
    """The scene for physics, with the object's mesh in every size of `MESH_SIZES`."""
    spec, obj = scene_spec(object_name, visual=False), object_spec(object_name)
    if not obj.is_box:
        for number, size in enumerate(MESH_SIZES):
            spec.add_mesh(name=_mesh_name(number), uservert=(size * obj.corners).ravel())
    return Scene.compile(spec, object_name)


def _mesh_name(number: int) -> str:
    return f"object:size{number}"


class ModelFields:
    """The model fields of B simulations that differ, and their nominal values."""

    _FIELDS = (
        "geom_size", "geom_aabb", "geom_rbound", "geom_dataid", "geom_friction", "pair_friction",
        "body_mass", "body_inertia", "dof_damping", "actuator_gainprm", "actuator_biasprm",
        "jnt_range",
    )  # fmt: skip

    def __init__(self, batch: Batch, scene: Scene) -> None:
        """Gives the batch of a scene, from `sized_scene`, its own fields.

        Args:
            batch: the simulations.
            scene: what they simulate.
        """
        model = scene.model
        self._batch, self._model = batch, model
        self._nominal = {name: np.array(getattr(model, name)) for name in self._FIELDS}
        self._own = {name: batch.expand(name) for name in self._FIELDS}
        self._gravity, self._nominal_gravity = batch.expand("opt.gravity"), model.opt.gravity.copy()
        self.timestep: NDArray[np.float64] = batch.expand("opt.timestep").reshape(batch.nsim)
        """Each simulation's physics step (B,) in seconds, live."""
        self._geom = model.geom("object").id
        self._body = scene.object_body
        bodies = np.arange(1, model.nbody)
        self.links = bodies[(bodies != self._body) & (model.body_mass[1:] > 0)]
        """Ids (L,) of the hand's bodies that have a mass."""
        self._dofs = scene.joint_dof
        self._joints = np.array([model.joint(names.PREFIX + name).id for name in names.JOINTS])
        self._meshes = np.array(
            [model.mesh(_mesh_name(n)).id for n in range(len(MESH_SIZES))]
            if model.geom_type[self._geom] == mujoco.mjtGeom.mjGEOM_MESH
            else [],
            dtype=np.int64,
        )

    def apply(self, ids: NDArray[np.intp], drawn: list[Physics]) -> None:
        """Gives simulations `ids` (K,) the physics `drawn` (K) for them."""
        self._resize(ids, np.array([p.object_size for p in drawn]))
        self._weigh(ids, drawn)
        friction = np.array([p.friction for p in drawn])
        self._scale("geom_friction", ids, friction[:, None, None])
        self._scale("pair_friction", ids, friction[:, None, None])
        damping = np.ones((len(ids), self._model.nv))
        damping[:, self._dofs] = [p.joint_damping for p in drawn]
        self._scale("dof_damping", ids, damping)
        gain = np.array([p.actuator_gain for p in drawn])[:, :, None]
        self._scale("actuator_gainprm", ids, gain)
        self._scale("actuator_biasprm", ids, gain)
        limits = self._nominal["jnt_range"][self._joints] + [p.joint_limits for p in drawn]
        # Limits that crossed would leave no angle at all.
        self._own["jnt_range"][np.ix_(ids, self._joints)] = np.sort(limits, axis=-1)
        self._gravity[ids] = self._nominal_gravity + [p.gravity for p in drawn]
        self._batch.set_const(ids)
        # The body's bounding volume follows in set_const(), which makes a mesh's sphere nominal.
        sphere = self._nominal["geom_rbound"][self._geom]
        self._own["geom_rbound"][ids, self._geom] = sphere * self._size

    def _scale(self, name: str, ids: NDArray[np.intp], factor: NDArray[np.float64]) -> None:
        self._own[name][ids] = self._nominal[name] * factor

    def _weigh(self, ids: NDArray[np.intp], drawn: list[Physics]) -> None:
        factor = np.ones((len(ids), self._model.nbody))
        factor[:, self.links] = [p.link_mass for p in drawn]
        factor[:, self._body] = [p.object_mass for p in drawn]
        self._scale("body_mass", ids, factor)
        inertia = self._nominal["body_inertia"] * factor[:, :, None]
        inertia[:, self._body] *= self._size[:, None] ** 2
        self._own["body_inertia"][ids] = inertia

    def _resize(self, ids: NDArray[np.intp], size: NDArray[np.float64]) -> None:
        """The object's geom."""
        if len(self._meshes):
            nearest = np.abs(MESH_SIZES - size[:, None]).argmin(axis=1)
            size = MESH_SIZES[nearest]
            self._own["geom_dataid"][ids, self._geom] = self._meshes[nearest]
        for name in ("geom_size", "geom_aabb"):
            self._own[name][ids, self._geom] = self._nominal[name][self._geom] * size[:, None]
        self._size = size
