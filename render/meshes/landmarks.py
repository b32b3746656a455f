"""Points on the static parts of a hand, by which a network measures the jitter of its cameras."""

import mujoco
import numpy as np

from opendactyl.core.errors import InputError
from opendactyl.geometry.rig import Rig
from opendactyl.geometry.rotation import Array
from opendactyl.render.meshes.geom_mesh import geom_mesh
from opendactyl.render.meshes.visibility import visible_from_outside, visible_from_rig
from opendactyl.sim.hands.model import HAND_GROUP
from opendactyl.sim.hands.spec import HandSpec
from opendactyl.sim.objects.points import farthest_points
from opendactyl.sim.scene import Scene, scene_spec

COUNT = 10
"""Number of landmarks that are chosen."""


def landmarks(hand: HandSpec, rig: Rig) -> Array:
    """The landmarks (M, 3) of a hand, in its frame: those given, else chosen by visibility.

    The points lie far apart on what the cameras of `rig` see of the static parts, or, where they
    see nothing, on what is visible from outside. The choice is deterministic.

    Raises:
        InputError: the hand has no static part.
    """
    if hand.landmarks is not None:
        return hand.landmarks
    corners = static_triangles(hand)
    visible = visible_from_rig(rig, corners)
    if not visible.any():
        visible = visible_from_outside(corners)
    return farthest_points(corners[visible], COUNT)


def static_triangles(hand: HandSpec) -> Array:
    """Corners (T, 3, 3) of the visible surface that no joint moves, in the hand frame."""
    scene = Scene.compile(scene_spec(hand=hand.reference), "block", hand.reference)
    model, data = scene.model, mujoco.MjData(scene.model)
    mujoco.mj_kinematics(model, data)
    static = (model.geom_group == HAND_GROUP) & (model.body_weldid[model.geom_bodyid] == 0)
    corners = []
    for geom in np.flatnonzero(static).tolist():
        body = model.geom_bodyid[geom]
        points = geom_mesh(model, geom).triangles @ data.xmat[body].reshape(3, 3).T
        corners.append(hand.frame.points_to_hand(points + data.xpos[body]))
    if not corners:
        raise InputError(
            f"{hand.where}: every visible part moves, and landmarks are points that do not; give "
            "landmarks = [[x, y, z], ...] in the hand frame, in metres"
        )
    return np.concatenate(corners)
