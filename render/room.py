"""The room around a hand or a scene: floor and walls, whose textures appearances set."""

from typing import Any

import mujoco
import numpy as np

from opendactyl.geometry.rig import Rig
from opendactyl.geometry.transforms import invert_pose
from opendactyl.render.appearance.textures import PICTURE_SIZE, TEXTURE_SIZE
from opendactyl.sim.hands.spec import HandSpec
from opendactyl.sim.scenery.spec import FLOOR, Scenery

FLOOR_HEIGHT = -0.35
"""Height of the floor in metres, in the hand frame."""
BELOW_VOLUME = 0.75
"""Depth of the floor below the volume of a scene that states none, in metres."""
VERTICES = 31
"""Number of vertices along a side of a floor that can move."""
ROOM = 2.5
"""Half the width of the room in metres; the walls are behind the cameras."""
BEHIND_CAMERAS = 0.5
"""Least distance of the walls from the cameras, in metres."""


def room_size(rig: Rig) -> float:
    """Half the width of the room in metres."""
    poses = [invert_pose(camera.cam_from_hand) for camera in rig.cameras]
    return max(ROOM, *(float(np.abs(pose[:2, 3]).max()) + BEHIND_CAMERAS for pose in poses))


def texture_size(surroundings: HandSpec) -> int:
    """Width and height of the textures in pixels."""
    pictures = isinstance(surroundings, Scenery) and surroundings.pictures
    return PICTURE_SIZE if pictures else TEXTURE_SIZE


def add_room(spec: mujoco.MjSpec, surroundings: HandSpec, size: float) -> None:
    """Adds floor and walls around a hand, or around a scene whose floor may move.

    Args:
        spec: the model.
        surroundings: the hand or the scene.
        size: half the width of the room in metres.
    """
    pixels = texture_size(surroundings)
    for name in ("floor", "wall"):
        spec.add_texture(
            name=name, type=mujoco.mjtTexture.mjTEXTURE_2D, width=pixels, height=pixels,
            builtin=mujoco.mjtBuiltin.mjBUILTIN_FLAT, rgb1=[1, 1, 1],
        )  # fmt: skip
        material = spec.add_material(name=name, specular=0.1, shininess=0.1)
        material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name
    is_scene = isinstance(surroundings, Scenery)
    x, y, _, origin = surroundings.frame.world_from_hand[:3].T
    height = surroundings.object_positions[0][2] - BELOW_VOLUME if is_scene else FLOOR_HEIGHT
    floor = origin + np.array([0.0, 0.0, height])
    inert: dict[str, Any] = {"contype": 0, "conaffinity": 0, "group": 0}
    plane = inert | {"type": mujoco.mjtGeom.mjGEOM_PLANE}
    if is_scene and surroundings.floor is not None:
        _add_moving_floor(spec, size, inert)
    else:
        spec.worldbody.add_geom(
            name="floor", pos=floor, size=[size, size, 0.1], material="floor", **plane
        )
    for number, inward in enumerate((x, -x, y, -y)):
        spec.worldbody.add_geom(
            name=f"wall{number}", pos=floor - size * inward, size=[size, size, 0.1],
            zaxis=inward, material="wall", **plane,
        )  # fmt: skip


def _add_moving_floor(spec: mujoco.MjSpec, size: float, inert: dict[str, Any]) -> None:
    """A square on the floor's body: MuJoCo's planes cannot move.

    `classic` computes light at vertices, so they are dense in the middle.
    """
    steps = np.linspace(-1, 1, VERTICES)
    x, y = (axis.ravel() for axis in np.meshgrid(*[steps * np.abs(steps)] * 2))
    vertices = np.column_stack([x, y, np.zeros_like(x)])
    first = (np.arange(VERTICES - 1) * VERTICES + np.arange(VERTICES - 1)[:, None]).ravel()
    second, third, fourth = first + 1, first + VERTICES + 1, first + VERTICES
    triangles = np.concatenate([[first, second, third], [first, third, fourth]], axis=1).T.ravel()
    spec.add_mesh(
        name="floor", uservert=(vertices * size).ravel(), userface=triangles,
        usernormal=np.tile([0.0, 0.0, 1.0], len(vertices)), userfacenormal=triangles,
        usertexcoord=((vertices[:, :2] + 1) / 2).ravel(), userfacetexcoord=triangles,
        inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL,
    )  # fmt: skip
    spec.body(FLOOR).add_geom(
        name="floor", type=mujoco.mjtGeom.mjGEOM_MESH, meshname="floor", material="floor", **inert
    )
