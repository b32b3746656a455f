"""A picture of a hand from three sides, with its fingertips, landmarks and frame."""

import logging

import mujoco
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from opendactyl.core.errors import InputError
from opendactyl.geometry.camera import Camera, intrinsics_from_fovy
from opendactyl.geometry.drawing import draw_pose
from opendactyl.geometry.rig import Rig, load_rig, look_at
from opendactyl.geometry.rotation import Array
from opendactyl.geometry.transforms import invert_pose
from opendactyl.render.appearance.config import PRESETS
from opendactyl.render.appearance.sampling import sample_appearance
from opendactyl.render.meshes.landmarks import landmarks
from opendactyl.render.opengl.renderer import ClassicRenderer
from opendactyl.sim.initial_states import settled_state, start_state
from opendactyl.sim.objects.shipped import object_spec
from opendactyl.sim.scene import Scene
from opendactyl.sim.state import State

_log = logging.getLogger(__name__)

PANEL = 480
"""Width and height of a view in pixels."""
VIEWS = {
    "from the thumb's side": ([0.25, -0.5, 0.45], [0.0, 0.0, 1.0]),
    "from above": ([0.0, 0.0, 0.75], [1.0, 0.0, 0.0]),
    "from the side": ([0.0, -0.72, 0.2], [0.0, 0.0, 1.0]),
}
"""Positions of the cameras in the hand frame, and the direction that is up in the picture."""
FOVY = np.deg2rad(32.0)
TIP, LANDMARK = (255, 196, 61), (90, 220, 255)


def draw_hand(name: str) -> Image.Image:
    """Draws the hand `name`, as `hand_spec` takes it, with the block settled on its palm.

    Dots are fingertips, rings are landmarks, axes are those of the hand frame (x red, y green, z
    blue).

    Raises:
        InputError: there is no such hand, or its model cannot be used.
        EnvironmentFailure: no OpenGL context can be opened.
    """
    rig = Rig("hand", tuple(_camera(number, *view) for number, view in enumerate(VIEWS.values())))
    appearance = sample_appearance(
        np.random.default_rng(0), PRESETS["calibrated"], views=len(VIEWS), obj=object_spec("block")
    )
    sheet = Image.new("RGB", (PANEL * len(VIEWS), PANEL))
    with ClassicRenderer(rig, "block", name) as renderer:
        scene = renderer.render_scene.scene
        state = _state(scene)
        data = mujoco.MjData(scene.model)
        scene.set_state(data, state)
        tips = scene.fingertips(data.site_xpos)
        fixed = landmarks(scene.hand, load_rig("dactyl-200"))
        images = renderer.render(state, appearance)
        for number, (title, image) in enumerate(zip(VIEWS, images, strict=True)):
            sheet.paste(_panel(image, rig.cameras[number], title, tips, fixed), (number * PANEL, 0))
    return sheet


def _state(scene: Scene) -> State:
    """A settled state or, where the hand does not hold the block, one before the fall."""
    try:
        return settled_state(scene, np.random.default_rng(0), max_actions=8)
    except InputError as error:
        _log.warning("%s; the picture shows the block before it falls", error)
        return start_state(scene, np.random.default_rng(0))


def _camera(number: int, position: list[float], up: list[float]) -> Camera:
    pose = look_at(position, [0.0, 0.0, 0.0], up)
    intrinsics = intrinsics_from_fovy(FOVY, PANEL, PANEL)
    return Camera(f"view{number}", PANEL, PANEL, intrinsics, invert_pose(pose))


def _panel(
    image: NDArray[np.uint8], camera: Camera, title: str, tips: Array, fixed: Array
) -> Image.Image:
    panel = Image.fromarray(image)
    draw_pose(panel, camera, np.zeros(3), np.array([1.0, 0.0, 0.0, 0.0]), width=2)
    canvas = ImageDraw.Draw(panel)
    for points, colour, radius in ((fixed, None, 4), (tips, TIP, 4)):
        for x, y in camera.project(points)[0]:
            ends = [x - radius, y - radius, x + radius, y + radius]
            canvas.ellipse(ends, fill=colour, outline=LANDMARK if colour is None else (0, 0, 0))
    font = ImageFont.load_default(16)
    canvas.text((10, 8), title, "white", font=font, stroke_width=2, stroke_fill="black")
    return panel
