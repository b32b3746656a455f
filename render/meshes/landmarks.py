"""Points on static parts, by which a network measures the jitter of its cameras."""

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
from opendactyl.sim.scenery.spec import Scenery

COUNT = 10
"""Number of landmarks that are chosen."""


def landmarks(hand: HandSpec, rig: Rig) -> Array:
    """The landmarks (M, 3) of a hand, in its frame: those given, else chosen by visibility.

    The points lie far apart on what the cameras of `rig` see of the static parts, or, where they
    see nothing, on what is visible from outside. The choice is deterministic. A scene of which the
    cameras see no static part has none.

    Raises:
        InputError: a hand has no static part.
    """
    if hand.landmarks is not None:
        return hand.landmarks
    corners, is_scene = static_triangles(hand), isinstance(hand, Scenery)
    if not len(corners):
        if is_scene:
            return np.zeros((0, 3))
        raise InputError(
            f"{hand.where}: every visible part moves, and landmarks are points that do not; give "
            "landmarks = [[x, y, z], ...] in the hand frame, in metres"
        )
    visible = visible_from_rig(rig, corners)
    if is_scene and not visible.any():
        return np.zeros((0, 3))
    if not visible.any():
        visible = visible_from_outside(corners)
    return farthest_points(corners[visible], COUNT)


def static_triangles(hand: HandSpec) -> Array:
    """Corners (T, 3, 3) of the visible surface that no joint moves, in the hand frame."""
    scene = Scene.compile(scene_spec(hand=hand.reference), "block", hand.reference)
    model, data = scene.model, mujoco.MjData(scene.model)
    mujoco.mj_kinematics(model, data)
    static = (model.geom_group == HAND_GROUP) & (model.body_weldid[model.geom_bodyid] == 0)
    static &= model.geom_type != mujoco.mjtGeom.mjGEOM_PLANE
    corners = [np.zeros((0, 3, 3))]
    for geom in np.flatnonzero(static).tolist():
        body = model.geom_bodyid[geom]
        points = geom_mesh(model, geom).triangles @ data.xmat[body].reshape(3, 3).T
        corners.append(hand.frame.points_to_hand(points + data.xpos[body]))
    return np.concatenate(corners)
