"""States of a scene without a hand: the object lies, is lifted, or is anywhere in the volume.

A state depends on the given generator only.
"""

from collections import Counter

import mujoco
import numpy as np

from opendactyl.core.errors import InputError
from opendactyl.geometry.rotation import (
    Array,
    quat_canonical,
    quat_multiply,
    quat_to_matrix,
    random_quat,
    yaw_quat,
)
from opendactyl.sim.objects.resting import Rests, rests
from opendactyl.sim.objects.shipped import object_spec
from opendactyl.sim.scene import Scene
from opendactyl.sim.scenery.model import HIDDEN_AT
from opendactyl.sim.scenery.spec import FLOOR, Scenery
from opendactyl.sim.state import State

MAX_PENETRATION = 0.001
"""Largest penetration of the object and of what moves, in metres."""
IDENTITY = np.array([1.0, 0.0, 0.0, 0.0])
_MAX_TRIES = 2000
_TESTED, _OFTEN = 60, 0.8
"""Draws of the joints by which overlaps of a model are found, and the fraction of these in which
two bodies penetrate each other that always do, as neighbours do whose hulls overlap."""


class SceneStates:
    """Samples states of a scene.

    Joints, occluders and the position of the object are drawn again until nothing that moves
    penetrates anything; the kind of the state, the object's orientation and the floor are not.
    Bodies of the models that nearly always penetrate each other, or the floor, may do so.
    """

    def __init__(self, scene: Scene) -> None:
        """Takes a scene for physics."""
        assert isinstance(scene.hand, Scenery)
        self.scene, self._scenery = scene, scene.hand
        model, obj = scene.model, object_spec(scene.object_name)
        self._data = mujoco.MjData(model)
        self._obj, self._rests = obj, None if obj.attached else rests(obj, np.zeros(0))
        weld = model.body_weldid[model.geom_bodyid]
        still = {0, model.body(FLOOR).weldid[0] if self._scenery.floor else 0}
        self._moves = ~np.isin(weld, list(still))
        self._overlapping: set[tuple[str, str]] = set()
        self._overlapping = self._overlaps()

    def sample(self, rng: np.random.Generator) -> State:
        """A state.

        Raises:
            InputError: none was found without penetration.
        """
        kinds, fractions = zip(*self._scenery.mixture.items(), strict=True)
        kind = str(rng.choice(kinds, p=fractions))
        hinges = self._obj.articulation.sample(rng)
        points, rest = self._obj.points_at(hinges), self._resting(hinges)
        lies, height = rng.choice(len(rest.weights), p=rest.weights), 0.0
        orientation = random_quat(rng)
        if kind == "lying":
            turned = quat_multiply(yaw_quat(rng.uniform(-np.pi, np.pi)), rest.quaternions[lies])
            orientation, height = quat_canonical(turned), rest.heights[lies]
        elif kind == "lifted":
            height = -float((points @ quat_to_matrix(orientation)[2]).min())
        floor, found = rng.random(), Counter()
        for _ in range(_MAX_TRIES):
            joints = self._joints(rng, floor)
            position = self._scenery.volume.sample(rng)
            if kind != "free":
                bottom = self._support(joints) + height
                top = max(bottom, self._scenery.volume.high[2]) if kind == "lifted" else bottom
                position[2] = rng.uniform(bottom, top)
            state = State(joints, position, orientation, hinges)
            pairs = self._penetrating(state)
            if not pairs:
                return state
            found.update(pairs)
        raise self._failure(kind, found)

    def _resting(self, hinges: Array) -> Rests:
        """How the object rests at angles (H,) of its hinges."""
        return rests(self._obj, hinges) if self._rests is None else self._rests

    def _overlaps(self) -> set[tuple[str, str]]:
        """The pairs of bodies that penetrate each other whatever the joints are."""
        rng, found = np.random.default_rng(0), Counter()
        away, rest = np.array([0.0, 0.0, -HIDDEN_AT]), self._obj.articulation.rest
        for _ in range(_TESTED):
            joints = self._joints(rng, rng.random())
            found.update(self._penetrating(State(joints, away, IDENTITY, rest)))
        return {pair for pair, count in found.items() if count >= _OFTEN * _TESTED}

    def _joints(self, rng: np.random.Generator, floor: float) -> Array:
        low, high = self.scene.joint_range.T
        names = self.scene.hand.joints
        joints = rng.uniform(low, high)
        if FLOOR in names:
            joints[names.index(FLOOR)] = floor * high[names.index(FLOOR)]
        for kind, occluder in enumerate(self._scenery.occluders):
            least, most = occluder.count
            shown = rng.permutation(most)[: rng.integers(least, most + 1)]
            for number in set(range(most)) - set(shown.tolist()):
                height = names.index(f"occluder/{kind}.{number}:z")
                joints[height] = HIDDEN_AT - height  # apart from each other
        return joints

    def _support(self, joints: Array) -> float:
        """Height of what the object lies on: the floor, or the bottom of the volume."""
        if self._scenery.floor is None:
            return self._scenery.volume.low[2]
        names = self.scene.hand.joints
        return self._scenery.floor[0] + (joints[names.index(FLOOR)] if FLOOR in names else 0.0)

    def _penetrating(self, state: State) -> set[tuple[str, str]]:
        """The pairs of bodies that penetrate each other too deeply."""
        model, data = self.scene.model, self._data
        data.qpos[:] = self.scene.qpos(state)
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_collision(model, data)
        contact = data.contact
        deep = self._moves[contact.geom].any(axis=1) & (contact.dist < -MAX_PENETRATION)
        bodies = model.geom_bodyid[contact.geom[deep]].tolist()
        pairs = {(model.body(a).name, model.body(b).name) for a, b in bodies}
        return pairs - self._overlapping

    def _failure(self, kind: str, found: Counter[tuple[str, str]]) -> InputError:
        (pair, count), *_ = found.most_common(1)
        return InputError(
            f"{self._scenery.where}: no {kind} state without penetration in {_MAX_TRIES} draws; "
            f"in {count}, {pair[0]} penetrates {pair[1]}: narrow the joints' ranges, change the "
            "volume, or set collision = false for a model that is concave there"
        )
