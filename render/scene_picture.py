"""A picture of a scene without a hand: random states, seen by the cameras of a rig or around it."""

import dataclasses

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from opendactyl.geometry.camera import Camera, intrinsics_from_fovy
from opendactyl.geometry.drawing import draw_pose
from opendactyl.geometry.rig import Rig, load_rig, look_at
from opendactyl.geometry.transforms import invert_pose
from opendactyl.render.appearance.config import PRESETS
from opendactyl.render.appearance.sampling import sample_appearance
from opendactyl.render.opengl.renderer import ClassicRenderer
from opendactyl.render.volume import check_views
from opendactyl.sim.objects.shipped import object_spec
from opendactyl.sim.scene import load_scene
from opendactyl.sim.scene_states import SceneStates
from opendactyl.sim.scenery.spec import Scenery

PANEL, ROWS = 360, 4
"""Width and height of a view in pixels, and the number of states."""
FOVY, DISTANCE = np.deg2rad(40.0), 3.5
"""Field of view of the cameras around the volume, and their distance in half diagonals of it."""
VIEWS = {"front": (0.0, -0.8, 0.6), "side": (0.8, 0.0, 0.6), "top": (0.0, -0.02, 1.0)}
"""Directions from the volume's centre to these cameras."""


def draw_scene(scenery: Scenery, object_name: str, rig: str = "") -> Image.Image:
    """Draws a state and an appearance a row; the first has the centres of the colours' ranges.

    Axes are those of the object and of the world (x red, y green, z blue).

    Args:
        scenery: the scene.
        object_name: the object, as `object_spec` takes it.
        rig: the cameras, as `load_rig` takes them; empty for three around the volume.

    Raises:
        InputError: a file cannot be used, or a camera does not show the volume.
        EnvironmentFailure: no OpenGL context can be opened.
    """
    cameras = load_rig(rig).views(PANEL) if rig else _around(scenery)
    obj, count = object_spec(object_name), len(cameras.cameras)
    check_views(cameras, obj, scenery)
    states = SceneStates(load_scene(object_name, scenery.reference))
    sheet = Image.new("RGB", (PANEL * count, PANEL * ROWS))
    with ClassicRenderer(cameras, object_name, scenery.reference) as renderer:
        for row in range(ROWS):
            rng = np.random.default_rng(row)
            ranges = dataclasses.replace(
                PRESETS["dactyl" if row else "calibrated"],
                camera_position=0.0, camera_rotation=0.0, camera_fovy=0.0,
            )  # fmt: skip
            appearance = sample_appearance(rng, ranges, views=count, obj=obj, surroundings=scenery)
            state = states.sample(rng)
            images = renderer.render(state, appearance)
            for column, (image, camera) in enumerate(zip(images, cameras.cameras, strict=True)):
                panel = Image.fromarray(image)
                draw_pose(panel, camera, state.position, state.quaternion, width=2)
                draw_pose(panel, camera, np.zeros(3), np.array([1.0, 0.0, 0.0, 0.0]), width=2)
                font = ImageFont.load_default(16)
                canvas = ImageDraw.Draw(panel)
                canvas.text((10, 8), camera.name, "white", font, stroke_width=2, stroke_fill=0)
                sheet.paste(panel, (column * PANEL, row * PANEL))
    return sheet


def _around(scenery: Scenery) -> Rig:
    low, high = np.array(scenery.object_positions)
    centre, distance = (low + high) / 2, DISTANCE * np.linalg.norm(high - low) / 2
    intrinsics = intrinsics_from_fovy(FOVY, PANEL, PANEL)
    poses = {
        name: look_at(centre + distance * np.array(direction), centre, [0.0, 0.0, 1.0])
        for name, direction in VIEWS.items()
    }
    cameras = (Camera(n, PANEL, PANEL, intrinsics, invert_pose(p)) for n, p in poses.items())
    return Rig("around", tuple(cameras))
