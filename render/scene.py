"""The scene to render: hand and object with cameras, lights, room and distractors.

`build_render_scene` compiles it with every element that an appearance can change;
`apply_appearance` sets all of these elements, so no state of the previous appearance remains.
"""

from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from opendactyl.geometry.camera import Camera
from opendactyl.geometry.rig import Rig
from opendactyl.geometry.rotation import rotvec_to_quat
from opendactyl.geometry.transforms import invert_pose, pose_matrix, transform_points
from opendactyl.render.appearance.config import (
    MAX_DISTRACTORS,
    MAX_LIGHTS,
    Appearance,
    Distractor,
    Surface,
)
from opendactyl.render.appearance.textures import TEXTURE_SIZE, backdrop_texture
from opendactyl.render.meshes.simplify import reduce_shadow_casters, simplify_hand
from opendactyl.sim.hands.frame import HandFrame
from opendactyl.sim.hands.model import HAND_GROUP
from opendactyl.sim.hands.shipped import hand_spec
from opendactyl.sim.hands.spec import DEFAULT_HAND
from opendactyl.sim.objects.shipped import object_spec
from opendactyl.sim.objects.spec import ObjectSpec
from opendactyl.sim.scene import Scene, scene_spec

FLOOR_HEIGHT = -0.35
"""Height of the floor in metres, in the hand frame."""
ROOM = 2.5
"""Half the width of the room in metres; the walls are behind the cameras."""
NEAR, FAR = 0.02, 12.0
"""Distances of the clipping planes in metres."""
FLOOR_TEXTURE, WALL_TEXTURE = 0, 1
_HIDDEN = Distractor(
    shape="box",
    position=(0.0, 0.0, -50.0),
    quaternion=(1.0, 0.0, 0.0, 0.0),
    size=(0.01, 0.01, 0.01),
    rgb=(0.5, 0.5, 0.5),
)
_SHAPES = {
    "box": mujoco.mjtGeom.mjGEOM_BOX,
    "sphere": mujoco.mjtGeom.mjGEOM_SPHERE,
    "capsule": mujoco.mjtGeom.mjGEOM_CAPSULE,
}


@dataclass(frozen=True, eq=False)
class RenderScene:
    """A compiled scene with the elements that an appearance changes."""

    scene: Scene
    rig: Rig
    obj: ObjectSpec
    textures: NDArray[np.uint8]
    """Textures (2, S, S, 3) of floor and walls in the current appearance."""

    @property
    def model(self) -> mujoco.MjModel:
        """The model of the scene."""
        return self.scene.model


def build_render_scene(
    rig: Rig, object_name: str, hand: str = DEFAULT_HAND, *, full_meshes: bool = False
) -> RenderScene:
    """Compiles hand, object, cameras, the maximum number of lights and distractors, and a room.

    Args:
        rig: the cameras, at the resolution to render.
        object_name: a shipped object, or the path of an object's file.
        hand: a shipped hand, or the path of a hand's file.
        full_meshes: do not simplify the hand's meshes, and let all geoms cast shadows; slower, with
            nearly the same images.
    """
    description = hand_spec(hand)
    spec = scene_spec(object_name, hand)
    _add_cameras(spec, rig)
    _add_room(spec, description.frame)
    if not full_meshes:
        simplify_hand(spec, description, rig)
        reduce_shadow_casters(spec)
    for number in range(MAX_LIGHTS):
        spec.worldbody.add_light(
            name=f"light{number}", type=mujoco.mjtLightType.mjLIGHT_SPOT, castshadow=number == 0
        )
    for number in range(MAX_DISTRACTORS):
        spec.worldbody.add_geom(
            name=f"distractor{number}", type=mujoco.mjtGeom.mjGEOM_BOX, size=[0.01] * 3,
            pos=_HIDDEN.position, contype=0, conaffinity=0, group=0,
        )  # fmt: skip
    visual = spec.visual
    for kind in ("ambient", "diffuse", "specular"):
        setattr(visual.headlight, kind, [0.0, 0.0, 0.0])
    visual.map.znear, visual.map.zfar = NEAR, FAR
    # A small shadow map of the hand only is finer and cheaper than a large one of the whole cone.
    visual.quality.shadowsize, visual.map.shadowscale = 384, 0.25
    # Boxes are lit per vertex; all of them are too small to need subdivision.
    visual.quality.numquads = 1
    spec.stat.extent, spec.stat.center = 1.0, description.frame.world_from_hand[:3, 3]
    # Screen-space ambient occlusion is slow and noisy; only the filament renderer reads this.
    spec.add_numeric(name="filament.ao.enabled", data=[0])
    scene = Scene.compile(spec, object_name, hand)
    textures = np.zeros((2, TEXTURE_SIZE, TEXTURE_SIZE, 3), dtype=np.uint8)
    return RenderScene(scene, rig, object_spec(object_name), textures)


def _add_cameras(spec: mujoco.MjSpec, rig: Rig) -> None:
    for camera in rig.cameras:
        spec.worldbody.add_camera(
            name=camera.name,
            resolution=[camera.width, camera.height],
            sensor_size=[camera.width * 1e-5, camera.height * 1e-5],
            focal_pixel=[camera.K[0, 0], camera.K[1, 1]],
            principal_pixel=[0.0, 0.0],
        )


def _add_room(spec: mujoco.MjSpec, frame: HandFrame) -> None:
    for name in ("floor", "wall"):
        spec.add_texture(
            name=name, type=mujoco.mjtTexture.mjTEXTURE_2D, width=TEXTURE_SIZE, height=TEXTURE_SIZE,
            builtin=mujoco.mjtBuiltin.mjBUILTIN_FLAT, rgb1=[1, 1, 1],
        )  # fmt: skip
        material = spec.add_material(name=name, specular=0.1, shininess=0.1)
        material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name
    x, y, _, origin = frame.world_from_hand[:3].T
    floor = origin + np.array([0.0, 0.0, FLOOR_HEIGHT])
    inert = {"type": mujoco.mjtGeom.mjGEOM_PLANE, "contype": 0, "conaffinity": 0, "group": 0}
    spec.worldbody.add_geom(
        name="floor", pos=floor, size=[ROOM, ROOM, 0.1], material="floor", **inert
    )
    for number, inward in enumerate((x, -x, y, -y)):
        spec.worldbody.add_geom(
            name=f"wall{number}", pos=floor - ROOM * inward, size=[ROOM, ROOM, 0.1],
            zaxis=inward, material="wall", **inert,
        )  # fmt: skip


def true_cameras(rig: Rig, appearance: Appearance) -> tuple[Camera, ...]:
    """The cameras of the rig with the jitter of an appearance."""
    cameras = []
    for camera, offset, rotvec, fovy in zip(
        rig.cameras,
        appearance.camera_offset,
        appearance.camera_rotvec,
        appearance.camera_fovy,
        strict=True,
    ):
        hand_from_cam = invert_pose(camera.cam_from_hand)
        hand_from_cam = hand_from_cam @ pose_matrix(np.zeros(3), rotvec_to_quat(rotvec))
        hand_from_cam[:3, 3] += offset
        zoom = np.tan(camera.frame_fovy / 2) / np.tan((camera.frame_fovy + fovy) / 2)
        intrinsics = camera.K.copy()
        intrinsics[[0, 1], [0, 1]] *= zoom
        pose = invert_pose(hand_from_cam)
        cameras.append(Camera(camera.name, camera.width, camera.height, intrinsics, pose))
    return tuple(cameras)


def apply_appearance(render_scene: RenderScene, appearance: Appearance) -> None:
    """Sets the model and textures to an appearance, independently of the previous one."""
    _set_cameras(render_scene, true_cameras(render_scene.rig, appearance))
    _set_lights(render_scene, appearance)
    visible = np.flatnonzero(render_scene.model.geom_group == HAND_GROUP)
    _set_material(render_scene.model, render_scene.model.geom_matid[visible[0]], appearance.hand)
    count = len(render_scene.obj.faces)
    faces, surfaces = appearance.faces[:count], appearance.faces[count:]
    for number, (face, letter) in enumerate(zip(faces, appearance.letters, strict=True)):
        _set_material(render_scene.model, f"object:face{number}", face)
        ink = Surface(rgb=letter, metallic=face.metallic, gloss=face.gloss)
        _set_material(render_scene.model, f"object:letter{number}", ink)
    for number, surface in enumerate(surfaces):
        _set_material(render_scene.model, f"object:surface{number}", surface)
    _set_distractors(render_scene, appearance)
    for name, backdrop in (("floor", appearance.floor), ("wall", appearance.wall)):
        render_scene.model.mat_texrepeat[render_scene.model.material(name).id] = (
            2 * ROOM / backdrop.tile
        )
    render_scene.textures[FLOOR_TEXTURE] = backdrop_texture(appearance.floor)
    render_scene.textures[WALL_TEXTURE] = backdrop_texture(appearance.wall)


def _set_cameras(render_scene: RenderScene, cameras: tuple[Camera, ...]) -> None:
    flip = np.diag([1.0, -1.0, -1.0, 1.0])  # from OpenCV's camera axes to MuJoCo's
    model, frame = render_scene.model, render_scene.scene.hand.frame
    for camera in cameras:
        number = model.camera(camera.name).id
        world_from_cam = frame.world_from_hand @ invert_pose(camera.cam_from_hand) @ flip
        model.cam_pos[number] = world_from_cam[:3, 3]
        quat = np.empty(4)
        mujoco.mju_mat2Quat(quat, world_from_cam[:3, :3].ravel())
        model.cam_quat[number] = quat
        pixel = model.cam_sensorsize[number] / (camera.width, camera.height)
        model.cam_intrinsic[number] = [
            camera.K[0, 0] * pixel[0],
            camera.K[1, 1] * pixel[1],
            (camera.width / 2 - camera.K[0, 2]) * pixel[0],
            (camera.height / 2 - camera.K[1, 2]) * pixel[1],
        ]


def _set_lights(render_scene: RenderScene, appearance: Appearance) -> None:
    model, pose = render_scene.model, render_scene.scene.hand.frame.world_from_hand
    for name in ("active", "ambient", "castshadow", "pos", "diffuse", "specular", "cutoff"):
        getattr(model, f"light_{name}")[:] = 0
    model.light_dir[:] = (0.0, 0.0, -1.0)
    positions = np.array([light.position for light in appearance.lights])
    directions = -positions @ pose[:3, :3].T
    count = len(positions)
    model.light_pos[:count] = transform_points(pose, positions)
    model.light_dir[:count] = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    model.light_active[:count] = 1
    model.light_castshadow[0] = int(appearance.shadow)
    for number, light in enumerate(appearance.lights):
        model.light_cutoff[number] = light.cone
        model.light_diffuse[number] = light.intensity
        model.light_specular[number] = light.intensity
        model.light_ambient[number] = appearance.ambient / len(appearance.lights)


def _set_material(model: mujoco.MjModel, material: str | int, surface: Surface) -> None:
    number = model.material(material).id
    model.mat_rgba[number, :3] = surface.rgb
    model.mat_specular[number] = surface.metallic
    model.mat_metallic[number] = surface.metallic
    model.mat_shininess[number] = surface.gloss
    model.mat_roughness[number] = 1.0 - surface.gloss
    model.mat_reflectance[number] = 0.0


def _set_distractors(render_scene: RenderScene, appearance: Appearance) -> None:
    model, frame = render_scene.model, render_scene.scene.hand.frame
    solids = [*appearance.distractors, *[_HIDDEN] * MAX_DISTRACTORS][:MAX_DISTRACTORS]
    positions, quats = frame.to_world([s.position for s in solids], [s.quaternion for s in solids])
    for number, solid in enumerate(solids):
        geom = model.geom(f"distractor{number}")
        geom.pos, geom.quat = positions[number], quats[number]
        geom.type = _SHAPES[solid.shape]
        geom.size = solid.size
        geom.rbound = float(np.linalg.norm(solid.size))
        geom.rgba = [*solid.rgb, 1.0]
