"""MuJoCo's physically based renderer (Filament on Vulkan): the one nobody trains on.

It shares nothing with `classic` but the scene, so that a network trained on one and tested on the
other meets images of another make. No window system is needed.
"""

import atexit
import functools
import weakref
from types import TracebackType
from typing import Any, Self

import mujoco
import numpy as np
from numpy.typing import NDArray

from opendactyl.core.errors import InputError
from opendactyl.geometry.camera import Camera
from opendactyl.geometry.rig import Rig
from opendactyl.render.appearance.config import Appearance
from opendactyl.render.base import OBJECT, fraction_visible, geom_classes
from opendactyl.render.filament.scene import FilamentScene
from opendactyl.render.scene import FAR, NEAR, apply_appearance, build_render_scene, true_cameras
from opendactyl.sim.scene import HAND_GROUP, OBJECT_GROUP
from opendactyl.sim.state import State

SUPERSAMPLING = 2
"""Pictures are rendered this many times larger in each direction and averaged in linear light.

Filament's own anti-aliasing is part of its post-processing, whose dithering differs from frame to
frame: it is off, so that a state and an appearance always give the same bytes.
"""

_open_renderers: "weakref.WeakSet[FilamentRenderer]" = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """Frees everything in its order: left to the interpreter's end, it would crash there."""
    for renderer in list(_open_renderers):
        renderer.close()


class FilamentRenderer:
    """Renders with Filament; same states, rig, appearances and labels as `ClassicRenderer`."""

    def __init__(
        self, rig: Rig, object_name: str = "block", *, supersampling: int = SUPERSAMPLING
    ) -> None:
        """Builds the scene for a rig whose cameras all have one size."""
        self._open = False
        if len({(camera.width, camera.height) for camera in rig.cameras}) != 1:
            raise InputError("the cameras of a rig must have one image size to be rendered")
        self.rig = rig
        self.render_scene = build_render_scene(rig, object_name, full_meshes=True)
        self._height, self._width = rig.cameras[0].height, rig.cameras[0].width
        self._scale = supersampling
        self._data = mujoco.MjData(self.render_scene.model)
        self._classes = geom_classes(self.render_scene.scene)
        self._cameras: tuple[Camera, ...] = rig.cameras
        sizes = {"picture": self._row(supersampling), "ids": self._row(1), "depth": self._row(1)}
        self._stage = FilamentScene(self.render_scene, sizes)
        self._open = True
        _open_renderers.add(self)

    def _row(self, scale: int) -> tuple[int, int]:
        return self._height * scale, self._width * len(self.rig.cameras) * scale

    def render(
        self, state: State, appearance: Appearance, out: NDArray[np.uint8] | None = None
    ) -> NDArray[np.uint8]:
        """Renders a state (V, H, W, 3), into `out` when given."""
        self._check_open()
        apply_appearance(self.render_scene, appearance)
        self._cameras = true_cameras(self.rig, appearance)
        self._data.qpos[:] = self.render_scene.scene.qpos(state)
        mujoco.mj_kinematics(self.render_scene.model, self._data)
        self._stage.follow(self._data, appearance)
        pixels = _tone_map(self._shoot("picture", "DEFAULT", self._scale), self._scale)
        if out is None:
            return pixels
        out[...] = pixels
        return out

    def _shoot(self, target: str, mode: str, scale: int = 1) -> NDArray[Any]:
        """What the cameras see (V, scale*H, scale*W, ...)."""
        wide = self._stage.shoot(target, mode, self._cameras)
        views = wide.reshape(
            self._height * scale, len(self.rig.cameras), self._width * scale, *wide.shape[2:]
        )
        return np.ascontiguousarray(np.swapaxes(views, 0, 1))

    def _ids(self) -> NDArray[np.int64]:
        """Geom ids (V, H, W) of the last state; -1 is the background."""
        self._check_open()
        pixels = self._shoot("ids", "SEGMENTATION_BY_ID").astype(np.int64)
        codes = pixels[..., 0] + (pixels[..., 1] << 8) + (pixels[..., 2] << 16)
        return np.where(codes > self.render_scene.model.ngeom, 0, codes) - 1

    def segment(self) -> NDArray[np.uint8]:
        """The classes (V, H, W) of the last rendered frame: 0 background, 1 hand, 2 object."""
        return self._classes[self._ids()]

    def object_alone(self) -> NDArray[np.bool_]:
        """Where the object of the last frame would be seen (V, H, W) if nothing else was there."""
        self._check_open()
        self._stage.show(self._data, [OBJECT_GROUP])
        alone = self._classes[self._ids()] == OBJECT
        self._stage.show(self._data, [0, HAND_GROUP, OBJECT_GROUP])
        return alone

    def visible_fraction(self) -> NDArray[np.float64]:
        """Per view (V,): the object's visible pixels over those it would have unoccluded."""
        return fraction_visible(self.segment(), self.object_alone())

    def depth(self) -> NDArray[np.float32]:
        """Depth (V, H, W) of the last rendered frame in metres, along the optical axes."""
        self._check_open()
        reversed_depth = self._shoot("depth", "DEPTH").astype(np.float64)
        metres = NEAR * FAR / (NEAR + reversed_depth * (FAR - NEAR))
        return metres.astype(np.float32)

    def cameras(self, appearance: Appearance) -> tuple[Camera, ...]:
        """The true cameras: the rig's as jittered by an appearance."""
        return true_cameras(self.rig, appearance)

    def _check_open(self) -> None:
        if not self._open:
            raise RuntimeError("this renderer is closed")

    def close(self) -> None:
        """Frees the graphics context and all in it; a second call does nothing."""
        if not self._open:
            return
        self._open = False
        self._stage.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _tone_map(pixels: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """Averages linear pixels (V, s*H, s*W, 3) over s×s and encodes them as sRGB (V, H, W, 3)."""
    views, height, width, _ = pixels.shape
    blocks = pixels.reshape(views, height // scale, scale, width // scale, scale, 3)
    total = blocks.sum(axis=(2, 4), dtype=np.uint16)
    return _srgb_table(scale)[total]


@functools.cache
def _srgb_table(scale: int) -> NDArray[np.uint8]:
    """The sRGB codes of sums of s×s linear 8-bit values."""
    levels = 255 * scale * scale
    linear = np.arange(levels + 1) / levels
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.round(255 * encoded).astype(np.uint8)
