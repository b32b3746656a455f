"""The 3D scene of the viewer: hand, object, goal, estimate and cameras, in viser."""

import mujoco
import numpy as np
import trimesh
import viser
from numpy.typing import NDArray
from PIL import Image
from trimesh.visual import TextureVisuals

from opendactyl.geometry.camera import Camera
from opendactyl.geometry.rig import Rig
from opendactyl.geometry.rotation import Array
from opendactyl.geometry.transforms import invert_pose, pose_from_matrix
from opendactyl.render.appearance.sampling import HAND_RGB
from opendactyl.render.meshes.geom_mesh import geom_mesh
from opendactyl.render.meshes.simplify import simplify_hand
from opendactyl.sim.hands.model import HAND_GROUP
from opendactyl.sim.hands.shipped import hand_spec
from opendactyl.sim.hands.spec import DEFAULT_HAND
from opendactyl.sim.object_geoms import OBJECT_GROUP
from opendactyl.sim.objects.shipped import object_spec
from opendactyl.sim.objects.spec import ObjectSpec, Surface
from opendactyl.sim.scene import Scene, scene_spec
from opendactyl.sim.state import State

GOAL_OFFSET = np.array([0.0, 0.0, 0.14])
"""Position of the displayed goal in the hand frame, above the hand, in metres."""
VIEW_POSITION, VIEW_TARGET = (0.40, -0.24, 0.26), (-0.10, 0.02, 0.15)
"""Initial position and target of the viewpoint in the hand frame, in metres."""
_ESTIMATE = (40, 160, 255)
_FRUSTUM, _LINE = 0.09, 0.002


class ViewerScene:
    """Draws states into a viser server, in the hand frame."""

    def __init__(
        self, server: viser.ViserServer, rig: Rig, object_name: str, hand: str = DEFAULT_HAND
    ) -> None:
        """Sends the meshes to the browser."""
        self._server, self._obj = server, object_spec(object_name)
        spec = scene_spec(object_name, hand)
        simplify_hand(spec, hand_spec(hand))
        self._scene = Scene.compile(spec, object_name, hand)
        self._data = mujoco.MjData(self._scene.model)
        scene = server.scene
        scene.set_up_direction("+z")
        server.initial_camera.position = VIEW_POSITION
        server.initial_camera.look_at = VIEW_TARGET
        # Shadows of 26,000 faces are too slow in a browser without a graphics card.
        scene.configure_default_lights(cast_shadow=False)
        scene.add_grid("/floor", width=0.8, height=0.8, cell_size=0.05, position=(0, 0, -0.1))
        self._hand = {
            body: scene.add_mesh_simple(
                # A name with a slash would be that of a child, which moves with its parent.
                f"/hand/{self._body_name(body).replace('/', '.')}",
                mesh.vertices,
                mesh.faces,
                color=HAND_RGB,
            )
            for body, mesh in self._hand_meshes().items()
        }
        self._object, self._goal = self._add_object("/object"), self._add_object("/goal")
        scene.add_label("/goal label", "goal", position=GOAL_OFFSET + [0, 0, 0.05])
        half = self._obj.reach
        self._estimate = scene.add_box(
            "/estimate", _ESTIMATE, tuple(2.1 * half), wireframe=True, cast_shadow=False
        )
        self._axes = scene.add_frame("/estimate/axes", axes_length=0.05, axes_radius=0.0015)
        self._frustums = [self._add_camera(camera) for camera in rig.cameras]

    def show(
        self, state: State, goal: Array, estimate: tuple[Array, Array], images: "list[NDArray]"
    ) -> None:
        """Updates the scene.

        Args:
            state: the true state.
            goal: the goal orientation (4,).
            estimate: position (3,) and orientation (4,) that the policy uses.
            images: camera images, (H, W, 3) each.
        """
        self._scene.set_state(self._data, state)
        with self._server.atomic():
            bodies = list(self._hand)
            frame = self._scene.hand.frame
            poses = self._data.xpos[bodies], self._data.xquat[bodies]
            positions, quaternions = frame.to_hand(*poses)
            for number, body in enumerate(bodies):
                self._hand[body].position = positions[number]
                self._hand[body].wxyz = quaternions[number]
            self._place(self._object, state.position, state.quaternion, state.hinges)
            self._place(self._goal, GOAL_OFFSET, goal[:4], goal[4:])
            self._estimate.position, self._estimate.wxyz = estimate
            for frustum, image in zip(self._frustums, images, strict=False):
                frustum.image = image

    def _add_camera(self, camera: Camera) -> viser.CameraFrustumHandle:
        position, quaternion = pose_from_matrix(invert_pose(camera.cam_from_hand))
        return self._server.scene.add_camera_frustum(
            f"/cameras/{camera.name}",
            camera.fovy,
            camera.width / camera.height,
            scale=_FRUSTUM,
            thickness=_LINE,
            cast_shadow=False,
            position=position,
            wxyz=quaternion,
        )

    def _body_name(self, body: int) -> str:
        return self._scene.model.body(body).name.removeprefix(self._scene.hand.prefix)

    def _hand_meshes(self) -> dict[int, trimesh.Trimesh]:
        """One mesh per visible body of the hand, in the body's frame."""
        model = self._scene.model
        meshes: dict[int, list[trimesh.Trimesh]] = {}
        for geom in np.flatnonzero(model.geom_group == HAND_GROUP):
            meshes.setdefault(int(model.geom_bodyid[geom]), []).append(geom_mesh(model, int(geom)))
        return {body: _joined(of_body) for body, of_body in meshes.items()}

    def _place(
        self, frames: list[viser.FrameHandle], position: Array, quaternion: Array, hinges: Array
    ) -> None:
        """Moves the frames of an object to a pose and angles of its hinges."""
        frames[0].position, frames[0].wxyz = position, quaternion
        angles = hinges if len(hinges) else self._obj.articulation.rest
        for frame, pose in zip(frames[1:], self._obj.poses(angles)[1:], strict=True):
            frame.position, frame.wxyz = pose_from_matrix(pose)

    def _add_object(self, name: str) -> list[viser.FrameHandle]:
        """Sends the object's meshes, as children of frames that move its bodies."""
        frames = []
        for number, body in enumerate(self._scene.object_bodies.tolist()):
            path = f"{name}/part{number}" if number else name
            frames.append(self._server.scene.add_frame(path, show_axes=False))
            for count, mesh in enumerate(self._object_meshes(body, self._obj.bodies[number])):
                self._server.scene.add_mesh_trimesh(f"{path}/mesh{count}", mesh)
        return frames

    def _object_meshes(self, body: int, obj: ObjectSpec) -> list[trimesh.Trimesh]:
        """The faces and letters of a body as one mesh with their colours, and its surfaces."""
        model = self._scene.model
        geoms = np.flatnonzero((model.geom_bodyid == body) & (model.geom_group == OBJECT_GROUP))
        geoms = [g for g in geoms if not model.geom(g).name.startswith("object:surface")]
        meshes = [geom_mesh(model, int(geom)) for geom in geoms]
        for geom, mesh in zip(geoms, meshes, strict=True):
            rgba = model.mat_rgba[model.geom_matid[geom]]
            mesh.visual.face_colors = np.round(rgba * 255).astype(np.uint8)  # pyright: ignore
        solid = [_joined(meshes)] if meshes else []
        return [*solid, *map(_surface_mesh, obj.surfaces)]


def _surface_mesh(surface: Surface) -> trimesh.Trimesh:
    """A surface with its texture or colour."""
    count = len(surface.triangles)
    mesh = trimesh.Trimesh(
        surface.corners.reshape(-1, 3), np.arange(3 * count).reshape(-1, 3), process=False
    )
    if surface.texture is None or surface.uv is None:
        mesh.visual.face_colors = [*(round(255 * x) for x in surface.rgb), 255]  # pyright: ignore
    else:
        mesh.visual = TextureVisuals(
            uv=surface.uv[surface.uv_triangles].reshape(-1, 2),
            image=Image.fromarray(surface.texture),
        )
    return mesh


def _joined(meshes: list[trimesh.Trimesh]) -> trimesh.Trimesh:
    joined = trimesh.util.concatenate(meshes)
    assert isinstance(joined, trimesh.Trimesh)
    return joined
