"""Images of the states of episodes: by the cameras of a rig, and by a spectator's camera."""

from contextlib import ExitStack, closing
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from opendactyl.geometry.camera import Camera, intrinsics_from_fovy
from opendactyl.geometry.drawing import draw_pose
from opendactyl.geometry.rig import Rig, load_rig, look_at
from opendactyl.geometry.rotation import Array
from opendactyl.geometry.transforms import invert_pose
from opendactyl.render.appearance.config import PRESETS, load_appearance
from opendactyl.render.appearance.sampling import sample_appearance
from opendactyl.render.base import Renderer
from opendactyl.render.factory import make_renderer
from opendactyl.render.volume import check_views
from opendactyl.sim.hands.shipped import hand_spec
from opendactyl.sim.hands.spec import DEFAULT_HAND
from opendactyl.sim.objects.shipped import object_spec
from opendactyl.sim.state import State

FRAME = 480
"""Height and width of a spectator's frame in pixels."""
GOAL_HEIGHT = 0.09
"""Height of the goal's axes above the object in metres."""
GOAL_COLOURS = ((255, 170, 150), (190, 255, 150), (150, 200, 255))
"""Colours of the goal's axes: paler than the object's, in the same order."""
AXIS_WIDTH = 3
"""Line width of axes in a frame, in pixels."""
APPEARANCE_STREAM = 12


class SceneView:
    """A spectator's view of the hand, from the thumb's side."""

    def __init__(
        self, object_name: str = "block", hand: str = DEFAULT_HAND, *, seed: int = 0
    ) -> None:
        """Opens a renderer.

        Args:
            object_name: the object in the hand.
            hand: the hand.
            seed: seed of the calibrated appearance.
        """
        intrinsics = intrinsics_from_fovy(np.deg2rad(26.0), FRAME, FRAME)
        hand_from_cam = look_at([0.25, -0.5, 0.45], [-0.01, 0.0, 0.02], [0.0, 0.0, 1.0])
        self.camera = Camera("scene", FRAME, FRAME, intrinsics, invert_pose(hand_from_cam))
        rng, obj = np.random.default_rng(seed), object_spec(object_name)
        self._appearance = sample_appearance(rng, PRESETS["calibrated"], views=1, obj=obj)
        rig = Rig("scene", (self.camera,))
        self._renderer = make_renderer(
            rig=rig, object_name=object_name, hand=hand, image_size=FRAME
        )

    def frame(self, state: State, goal: Array) -> Image.Image:
        """A frame of a video: the hand, and the goal's axes (4,) above the object."""
        frame = Image.fromarray(self._renderer.render(state, self._appearance)[0])
        above = state.position + [0.0, 0.0, GOAL_HEIGHT]
        draw_pose(frame, self.camera, above, goal[:4], colours=GOAL_COLOURS, width=AXIS_WIDTH)
        return frame

    def close(self) -> None:
        """Closes the renderer. Further calls have no effect."""
        self._renderer.close()


class EpisodeViews:
    """Renders states; each of its two renderers is opened with its first image."""

    def __init__(
        self,
        object_name: str = "block",
        hand: str = DEFAULT_HAND,
        *,
        image_size: int = 64,
        rig: str | Path = "dactyl",
        renderer: str = "classic",
        appearance: str = "calibrated",
    ) -> None:
        """Opens no renderer yet.

        Args:
            object_name: the object in the hand.
            hand: the hand.
            image_size: width and height of each camera's image in pixels.
            rig: the cameras: a TOML file, or the name of a shipped rig.
            renderer: renderer of the cameras' images: classic or filament.
            appearance: preset or TOML file of the cameras' images.
        """
        self.image_size = image_size
        self._name, self._hand, self._kind = object_name, hand, renderer
        self._object = object_spec(object_name)
        self._rig, self._ranges = load_rig(rig).views(image_size), load_appearance(appearance)
        check_views(self._rig, self._object, hand_spec(hand))
        self.names = self._rig.names
        self._opened = ExitStack()

    def images(self, state: State, *, seed: int, episode: int) -> NDArray[np.uint8]:
        """The cameras' images (V, H, W, 3); the appearance depends on seed and episode only."""
        rng = np.random.default_rng([seed, episode, APPEARANCE_STREAM])
        views = len(self.names)
        appearance = sample_appearance(rng, self._ranges, views=views, obj=self._object)
        return self._cameras.render(state, appearance)

    def frame(self, state: State, goal: Array) -> NDArray[np.uint8]:
        """A frame (H, W, 3) of a video: the hand, and the goal's axes (4,) above the object."""
        return np.array(self._scene.frame(state, goal))

    def close(self) -> None:
        """Closes the renderers. Further calls have no effect."""
        self._opened.close()

    @cached_property
    def _cameras(self) -> Renderer:
        renderer = make_renderer(
            self._kind,
            rig=self._rig,
            object_name=self._name,
            hand=self._hand,
            image_size=self.image_size,
        )
        return self._opened.enter_context(renderer)

    @cached_property
    def _scene(self) -> SceneView:
        return self._opened.enter_context(closing(SceneView(self._name, self._hand)))
