"""MuJoCo's physically based renderer (Filament on Vulkan), for evaluation.

It shares only the scene with `classic`, so a network trained on images of one can be tested on
images of an independent renderer. No window system is needed.
"""

import atexit
import functools
import weakref
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from opendactyl.core.errors import InputError
from opendactyl.geometry.camera import Camera
from opendactyl.geometry.rig import Rig
from opendactyl.render.appearance.config import Appearance
from opendactyl.render.base import (
    MAX_FRAMEBUFFER,
    OBJECT,
    Renderer,
    body_numbers,
    colour_codes,
    geom_classes,
    image_size,
    mask_ratio,
    outside_frames,
    shown_alone,
    views_of_row,
)
from opendactyl.render.filament.scene import FilamentScene
from opendactyl.render.scene import FAR, NEAR, apply_appearance, build_render_scene, true_cameras
from opendactyl.sim.hands.model import HAND_GROUP
from opendactyl.sim.hands.spec import DEFAULT_HAND
from opendactyl.sim.object_geoms import OBJECT_GROUP
from opendactyl.sim.objects.colour_atlas import srgb
from opendactyl.sim.state import State

SUPERSAMPLING = 2
"""Factor in each direction by which images are rendered larger; averaged in linear colour space.

Filament's anti-aliasing is part of its post-processing, which is disabled because its dithering
differs from frame to frame: the same state and appearance must give the same bytes.
"""

_open_renderers: "weakref.WeakSet[FilamentRenderer]" = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """Closes open renderers, since interpreter shutdown would free their resources out of order."""
    for renderer in list(_open_renderers):
        renderer.close()


class FilamentRenderer(Renderer):
    """Renders with Filament; the interface and the labels are those of `ClassicRenderer`."""

    def __init__(
        self,
        rig: Rig,
        object_name: str = "block",
        hand: str = DEFAULT_HAND,
        *,
        supersampling: int = SUPERSAMPLING,
    ) -> None:
        """Opens a graphics context.

        Args:
            rig: the cameras, all with the same image size.
            object_name: a shipped object, or the path of an object's file.
            hand: a shipped hand, or the path of a hand's file.
            supersampling: factor by which images are rendered larger.

        Raises:
            InputError: the image sizes differ or are too large, or there is no such object.
            EnvironmentFailure: MuJoCo was built without Filament, or there is no Vulkan device.
        """
        self._open = False
        self._width, self._height = image_size(rig)
        largest = MAX_FRAMEBUFFER // (len(rig.cameras) * supersampling)
        if self._width > largest:
            raise InputError(
                f"filament renders at most {largest} pixels per view with {len(rig.cameras)} "
                f"cameras, not {self._width}; the classic renderer has no such limit"
            )
        self.rig = rig
        self.render_scene = build_render_scene(rig, object_name, hand, full_meshes=True)
        self._scale = supersampling
        self._data = mujoco.MjData(self.render_scene.model)
        self._classes = geom_classes(self.render_scene.scene)
        self._outside = outside_frames(rig)
        self._cameras: tuple[Camera, ...] = rig.cameras
        sizes = {"image": self._row(supersampling), "ids": self._row(1), "depth": self._row(1)}
        self._filament_scene = FilamentScene(self.render_scene, sizes)
        self._open = True
        _open_renderers.add(self)

    def _row(self, scale: int) -> tuple[int, int]:
        return self._height * scale, self._width * len(self.rig.cameras) * scale

    def render(
        self, state: State, appearance: Appearance, out: NDArray[np.uint8] | None = None
    ) -> NDArray[np.uint8]:
        """Renders a state to images (V, H, W, 3), in `out` if given."""
        self._check_open()
        apply_appearance(self.render_scene, appearance)
        self._cameras = true_cameras(self.rig, appearance)
        self._data.qpos[:] = self.render_scene.scene.qpos(state)
        mujoco.mj_kinematics(self.render_scene.model, self._data)
        self._filament_scene.update(self._data, appearance)
        pixels = _tone_map(self._render_views("image", "DEFAULT", self._scale), self._scale)
        pixels[self._outside] = 0
        if out is None:
            return pixels
        out[...] = pixels
        return out

    def _render_views(self, target: str, mode: str, scale: int = 1) -> NDArray[Any]:
        """Views (V, scale*H, scale*W, ...) of the current scene."""
        row = self._filament_scene.render(target, mode, self._cameras)
        return views_of_row(row, self._width * scale)

    def _ids(self) -> NDArray[np.int64]:
        """Geom ids (V, H, W) of the last rendered state; -1 is the background."""
        self._check_open()
        codes = colour_codes(self._render_views("ids", "SEGMENTATION_BY_ID"))
        unknown = (codes > self.render_scene.model.ngeom) | self._outside
        return np.where(unknown, 0, codes) - 1

    def segment(self) -> NDArray[np.uint8]:
        """The classes (V, H, W) of the last rendered frame: 0 background, 1 hand, 2 object."""
        return self._classes[self._ids()]

    def segment_bodies(self) -> NDArray[np.uint8]:
        """The object's bodies (V, H, W) in the last rendered frame, from 1; 0 is all else."""
        return body_numbers(self.render_scene.scene)[self._ids()]

    def unoccluded_mask(self, body: int | None = None) -> NDArray[np.bool_]:
        """Mask (V, H, W) of the object, or of one of its bodies, without occluders."""
        self._check_open()
        with shown_alone(self.render_scene.scene, self._data, body):
            self._filament_scene.show(self._data, [OBJECT_GROUP])
            mask = self._classes[self._ids()] == OBJECT
        self._filament_scene.show(self._data, [0, HAND_GROUP, OBJECT_GROUP])
        return mask

    def visible_fraction(self) -> NDArray[np.float64]:
        """Ratio (V,) of the object's visible pixels to those of its unoccluded mask."""
        return mask_ratio(self.segment(), self.unoccluded_mask())

    def depth(self) -> NDArray[np.float32]:
        """Depth (V, H, W) of the last rendered frame in metres, along the optical axes.

        It is 0 beyond the frame of a region of interest.
        """
        self._check_open()
        reversed_depth = self._render_views("depth", "DEPTH").astype(np.float64)
        metres = NEAR * FAR / (NEAR + reversed_depth * (FAR - NEAR))
        return np.where(self._outside, 0, metres).astype(np.float32)

    def cameras(self, appearance: Appearance) -> tuple[Camera, ...]:
        """The true cameras: those of the rig with the jitter of an appearance."""
        return true_cameras(self.rig, appearance)

    def _check_open(self) -> None:
        if not self._open:
            raise RuntimeError("this renderer is closed")

    def close(self) -> None:
        """Frees the graphics context and its resources. Further calls have no effect."""
        if not self._open:
            return
        self._open = False
        self._filament_scene.close()


def _tone_map(pixels: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """Averages linear pixels (V, s*H, s*W, 3) over s×s blocks, to sRGB (V, H, W, 3)."""
    views, height, width, _ = pixels.shape
    blocks = pixels.reshape(views, height // scale, scale, width // scale, scale, 3)
    total = blocks.sum(axis=(2, 4), dtype=np.uint16)
    return _srgb_table(scale)[total]


@functools.cache
def _srgb_table(scale: int) -> NDArray[np.uint8]:
    """The sRGB values of sums of s×s linear 8-bit values."""
    levels = 255 * scale * scale
    return np.round(255 * srgb(np.arange(levels + 1) / levels)).astype(np.uint8)
