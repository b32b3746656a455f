"""A picture of an object from six sides, with its keypoints and axes."""

import dataclasses
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from opendactyl.geometry.camera import Camera, intrinsics_from_fovy
from opendactyl.geometry.drawing import draw_pose
from opendactyl.geometry.rig import Rig, look_at
from opendactyl.geometry.rotation import Array, matrix_to_quat
from opendactyl.geometry.transforms import invert_pose
from opendactyl.render.appearance.config import PRESETS
from opendactyl.render.appearance.sampling import sample_appearance
from opendactyl.render.opengl.renderer import ClassicRenderer
from opendactyl.sim.objects.shipped import object_spec
from opendactyl.sim.state import State

PANEL = 360
"""Width and height of a view in pixels."""
SIDES = {"+x": (0, 2), "+y": (1, 2), "+z": (2, 1), "-x": (0, 2), "-y": (1, 2), "-z": (2, 1)}
"""The sides: indices of the axis that points at the viewer, and of the one that points up."""
BACKGROUND, TEXT, VISIBLE, HIDDEN = (24, 26, 30), (230, 232, 236), (255, 196, 61), (150, 120, 60)
DISTANCE, MARGIN = 8.0, 1.35
"""Distance of the camera, and half the width of its view, in radii of the object."""
DEPTH_TOLERANCE = 0.03
"""Depth behind the surface within which a keypoint is visible, in radii of the object."""


class _WithoutHand(ClassicRenderer):
    """Renders the object alone."""

    def _draw(self, *, hide_hand: bool, scale: int, ids: bool = False) -> Iterator[int]:
        return super()._draw(hide_hand=True, scale=scale, ids=ids)


def draw_object(name: str) -> Image.Image:
    """Draws the object `name`, as `object_spec` takes it; keypoints in view are bright.

    Raises:
        InputError: there is no such object.
        EnvironmentFailure: no OpenGL context can be opened.
    """
    obj = object_spec(name)
    radius = float(np.linalg.norm(obj.reach))
    camera, hinges = _camera(radius), obj.articulation.rest
    keypoints = obj.articulation.at(hinges)
    rng = np.random.default_rng(0)  # which `calibrated` does not use for the object
    appearance = sample_appearance(rng, PRESETS["calibrated"], views=1, obj=obj)
    sheet = Image.new("RGB", (3 * PANEL, 2 * PANEL), BACKGROUND)
    appearance = dataclasses.replace(appearance, shadow=False)
    with _WithoutHand(Rig("object", (camera,)), name, full_meshes=True) as renderer:
        joints = len(renderer.render_scene.scene.joint_qpos)
        for number, (side, (axis, up)) in enumerate(SIDES.items()):
            sign = 1.0 if side[0] == "+" else -1.0
            rotation = _facing(sign * np.eye(3)[axis], np.eye(3)[up])
            state = State(np.zeros(joints), np.zeros(3), matrix_to_quat(rotation), hinges)
            pixels = renderer.render(state, appearance)[0]
            pixels[~renderer.unoccluded_mask()[0]] = BACKGROUND
            panel = Image.fromarray(pixels)
            _mark(panel, camera, keypoints @ rotation.T, renderer.depth()[0], radius)
            draw_pose(panel, camera, np.zeros(3), state.quaternion, width=2)
            font = ImageFont.load_default(16)
            ImageDraw.Draw(panel).text((10, 8), f"from {side}", fill=TEXT, font=font)
            sheet.paste(panel, (number % 3 * PANEL, number // 3 * PANEL))
    return sheet


def _camera(radius: float) -> Camera:
    """A camera above the origin of the hand frame; its image has x to the right and y up."""
    distance = DISTANCE * radius
    pose = look_at([0.0, 0.0, distance], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0])
    fovy = 2 * np.arctan(MARGIN * radius / distance)
    return Camera("side", PANEL, PANEL, intrinsics_from_fovy(fovy, PANEL, PANEL), invert_pose(pose))


def _facing(towards: Array, up: Array) -> Array:
    """The rotation (3, 3) that points two axes of the object at the camera and up."""
    return np.stack([np.cross(up, towards), up, towards])


def _mark(
    panel: Image.Image, camera: Camera, points: Array, depth: NDArray[np.float32], radius: float
) -> None:
    """Draws keypoints (K, 3) as dots, those behind the surface as rings."""
    canvas = ImageDraw.Draw(panel)
    pixels, away = camera.project(points)
    for (x, y), z in zip(pixels, away, strict=True):
        row, column = np.clip([int(y), int(x)], 2, PANEL - 3)
        # The nearest surface around the point, which may lie on the silhouette.
        surface = depth[row - 2 : row + 3, column - 2 : column + 3].max()
        ends = [x - 3.5, y - 3.5, x + 3.5, y + 3.5]
        if z < surface + DEPTH_TOLERANCE * radius:
            canvas.ellipse(ends, fill=VISIBLE, outline=(0, 0, 0))
        else:
            canvas.ellipse(ends, outline=HIDDEN)
