"""The scene to render: an object, its surroundings, cameras, lights, room and distractors.

`build_render_scene` compiles it with every element that an appearance can change;
`apply_appearance` sets all of these elements, so no state of the previous appearance remains.
"""

from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from opendactyl.geometry.camera import Camera
from opendactyl.geometry.rig import Rig
from opendactyl.geometry.rotation import Array, rotvec_to_quat
from opendactyl.geometry.transforms import invert_pose, pose_matrix, transform_points
from opendactyl.render.appearance.config import MAX_DISTRACTORS, MAX_LIGHTS, Appearance
from opendactyl.render.appearance.elements import Distractor, Surface
from opendactyl.render.appearance.textures import backdrop_texture
from opendactyl.render.meshes.simplify import reduce_shadow_casters, simplify_hand
from opendactyl.render.room import add_room, room_size, texture_size
from opendactyl.sim.hands.model import HAND_GROUP
from opendactyl.sim.hands.spec import DEFAULT_HAND
from opendactyl.sim.objects.shipped import object_spec
from opendactyl.sim.objects.spec import ObjectSpec
from opendactyl.sim.scene import Scene, scene_spec
from opendactyl.sim.scenery.model import material_name
from opendactyl.sim.scenery.reference import surroundings
from opendactyl.sim.scenery.spec import Scenery

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
    centre: Array
    """What lights aim at (3,): the origin of the hand frame, or the centre of a scene's volume."""
    room: float
    """Half the width of the room in metres."""

    @property
    def model(self) -> mujoco.MjModel:
        """The model of the scene."""
        return self.scene.model


def build_render_scene(
    rig: Rig, object_name: str, hand: str = DEFAULT_HAND, *, full_meshes: bool = False
) -> RenderScene:
    """Compiles object, surroundings, cameras, room, and the most lights and distractors.

    Args:
        rig: the cameras, at the resolution to render.
        object_name: a shipped object, or the path of an object's file.
        hand: a hand's name or file, or `scene:FILE`.
        full_meshes: do not simplify the hand's meshes, and let all geoms cast shadows; slower, with
            nearly the same images.
    """
    description = surroundings(hand)
    spec = scene_spec(object_name, hand)
    _add_cameras(spec, rig)
    add_room(spec, description, room := room_size(rig))
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
    is_scene = isinstance(description, Scenery)
    visual.quality.shadowsize, visual.map.shadowscale = (768, 0.6) if is_scene else (384, 0.25)
    # Boxes are lit per vertex; all of them are too small to need subdivision.
    visual.quality.numquads = 1
    spec.stat.extent, spec.stat.center = 1.0, description.frame.world_from_hand[:3, 3]
    # Screen-space ambient occlusion is slow and noisy; only the filament renderer reads this.
    spec.add_numeric(name="filament.ao.enabled", data=[0])
    scene = Scene.compile(spec, object_name, hand)
    size = texture_size(description)
    textures = np.zeros((2, size, size, 3), dtype=np.uint8)
    centre = np.mean(description.object_positions, axis=0) if is_scene else np.zeros(3)
    return RenderScene(scene, rig, object_spec(object_name), textures, centre, room)


def _add_cameras(spec: mujoco.MjSpec, rig: Rig) -> None:
    for camera in rig.cameras:
        spec.worldbody.add_camera(
            name=camera.name,
            resolution=[camera.width, camera.height],
            sensor_size=[camera.width * 1e-5, camera.height * 1e-5],
            focal_pixel=[camera.K[0, 0], camera.K[1, 1]],
            principal_pixel=[0.0, 0.0],
        )


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
    _set_surroundings(render_scene, appearance)
    count = len(render_scene.obj.all_faces)
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
            2 * render_scene.room / backdrop.tile
        )
    hand, size = render_scene.scene.hand, render_scene.textures.shape[1]
    pictures = hand.pictures if isinstance(hand, Scenery) else ()
    for number, backdrop in ((FLOOR_TEXTURE, appearance.floor), (WALL_TEXTURE, appearance.wall)):
        render_scene.textures[number] = backdrop_texture(backdrop, size, pictures)


def _set_surroundings(render_scene: RenderScene, appearance: Appearance) -> None:
    """Sets the colour of the hand, or those of the scene."""
    model = render_scene.model
    if isinstance(render_scene.scene.hand, Scenery):
        for number, surface in enumerate(appearance.scenery):
            _set_material(model, material_name(number), surface)
    else:
        visible = np.flatnonzero(model.geom_group == HAND_GROUP)
        _set_material(model, model.geom_matid[visible[0]], appearance.hand)


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
    model.light_pos[:count] = transform_points(pose, positions + render_scene.centre)
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
