"""MuJoCo's OpenGL renderer, headless: all views in one framebuffer, read back once."""

from collections.abc import Iterator
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray
from PIL import Image

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
    outside_frames,
    shown_alone,
    views_of_row,
)
from opendactyl.render.opengl.context import open_context
from opendactyl.render.scene import apply_appearance, build_render_scene, true_cameras
from opendactyl.sim.hands.model import HAND_GROUP
from opendactyl.sim.hands.spec import DEFAULT_HAND
from opendactyl.sim.object_geoms import COLLISION_GROUP, OBJECT_GROUP
from opendactyl.sim.state import State

SUPERSAMPLING = 2
"""Factor in each direction by which images are rendered larger before they are averaged.

On a CPU it is faster than MuJoCo's default multisampling, and it also smooths shading and textures.
"""
DEPTH_TOLERANCE = 1e-4
"""Relative difference of the depths of one surface in two passes."""


class ClassicRenderer(Renderer):
    """Renders with MuJoCo's OpenGL; `MUJOCO_GL` selects the backend."""

    def __init__(
        self,
        rig: Rig,
        object_name: str = "block",
        hand: str = DEFAULT_HAND,
        *,
        full_meshes: bool = False,
        supersampling: int = SUPERSAMPLING,
    ) -> None:
        """Opens a graphics context.

        Args:
            rig: the cameras, all with the same image size.
            object_name: a shipped object, or the path of an object's file.
            hand: a shipped hand, or the path of a hand's file.
            full_meshes: do not simplify the hand's meshes and the shadows.
            supersampling: factor by which images are rendered larger.

        Raises:
            InputError: the image sizes differ, or there is no such object.
            EnvironmentFailure: no OpenGL context can be opened.
        """
        self._width, self._height = image_size(rig)
        self._context: mujoco.MjrContext | None = None
        self._gl: Any = None
        self._drawn = 0
        """Views of the last frame that the framebuffer holds, if it holds all of them."""
        self.rig = rig
        self.render_scene = build_render_scene(rig, object_name, hand, full_meshes=full_meshes)
        model = self.render_scene.model
        self._scale = supersampling
        columns = max(1, MAX_FRAMEBUFFER // (self._width * supersampling))
        self._columns = min(columns, len(rig.cameras))
        width, height = self._width * self._columns * supersampling, self._height * supersampling
        model.vis.global_.offwidth, model.vis.global_.offheight = width, height
        model.vis.quality.offsamples = 0
        self._gl, context = open_context(model, width, height)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, context)
        context.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR
        self._context = context
        self._data = mujoco.MjData(model)
        self._scene = mujoco.MjvScene(model, maxgeom=model.ngeom + 10)
        self._texture_ids = [model.texture(name).id for name in ("floor", "wall")]
        self._classes = geom_classes(self.render_scene.scene)
        self._outside = outside_frames(rig)

    def render(
        self, state: State, appearance: Appearance, out: NDArray[np.uint8] | None = None
    ) -> NDArray[np.uint8]:
        """Renders a state to images (V, H, W, 3), in `out` if given."""
        model, data = self.render_scene.model, self._data
        self._make_current()
        apply_appearance(self.render_scene, appearance)
        self._upload_textures()
        data.qpos[:] = self.render_scene.scene.qpos(state)
        mujoco.mj_kinematics(model, data)
        mujoco.mj_camlight(model, data)
        rows = []
        for views in self._draw(hide_hand=False, scale=self._scale):
            framebuffer = Image.fromarray(self._read_framebuffer(views, self._scale))
            rows.append(self._split(np.asarray(framebuffer.reduce(self._scale))))
        pixels = np.concatenate(rows) if len(rows) > 1 else rows[0]
        self._drawn = len(pixels) if len(rows) == 1 else 0
        pixels[self._outside] = 0
        if out is None:
            return pixels
        out[...] = pixels
        return out

    def segment(self) -> NDArray[np.uint8]:
        """The classes (V, H, W) of the last rendered frame: 0 background, 1 hand, 2 object."""
        self._make_current()
        return self._classes[self._ids(hide_hand=False)]

    def visible_fraction(self) -> NDArray[np.float64]:
        """Ratio (V,) of the object's visible pixels to those of its unoccluded mask.

        Cheapest right after `render`, whose depths it compares with those of the object alone.
        """
        self._make_current()
        scale, drawn = self._scale, self._drawn
        frame = self._read_depth(drawn, scale) if drawn else self._depths(scale, hide_hand=False)
        alone = self._depths(scale, hide_hand=True)
        mask = (alone > 0) & ~self._outside
        visible = mask & (frame <= alone * (1 + DEPTH_TOLERANCE))
        return visible.sum(axis=(1, 2)) / np.maximum(mask.sum(axis=(1, 2)), 1)

    def segment_bodies(self) -> NDArray[np.uint8]:
        """The object's bodies (V, H, W) in the last rendered frame, from 1; 0 is all else."""
        return body_numbers(self.render_scene.scene)[self._ids(hide_hand=False)]

    def unoccluded_mask(self, body: int | None = None) -> NDArray[np.bool_]:
        """Mask (V, H, W) of the object, or of one of its bodies, without occluders."""
        with shown_alone(self.render_scene.scene, self._data, body):
            return self._classes[self._ids(hide_hand=True)] == OBJECT

    def depth(self) -> NDArray[np.float32]:
        """Depth (V, H, W) of the last rendered frame in metres, along the optical axes.

        It is 0 beyond the frame of a region of interest.
        """
        self._make_current()
        buffer = self._depths(1, hide_hand=False)
        model = self.render_scene.model
        near = model.vis.map.znear * model.stat.extent
        far = model.vis.map.zfar * model.stat.extent
        metres = near * far / (near + buffer.astype(np.float64) * (far - near))
        return np.where(self._outside, 0, metres).astype(np.float32)

    def cameras(self, appearance: Appearance) -> tuple[Camera, ...]:
        """The true cameras: those of the rig with the jitter of an appearance."""
        return true_cameras(self.rig, appearance)

    def _make_current(self) -> None:
        if self._gl is None or self._context is None:
            raise RuntimeError("this renderer is closed")
        self._gl.make_current()

    def _upload_textures(self) -> None:
        model = self.render_scene.model
        for number, texture in zip(self._texture_ids, self.render_scene.textures, strict=True):
            start = model.tex_adr[number]
            model.tex_data[start : start + texture.size] = texture.ravel()
            mujoco.mjr_uploadTexture(model, self._context, number)

    def _viewport(self, views: int, scale: int) -> mujoco.MjrRect:
        return mujoco.MjrRect(0, 0, self._width * views * scale, self._height * scale)

    def _draw(self, *, hide_hand: bool, scale: int, ids: bool = False) -> Iterator[int]:
        """Draws rows of views, as many as the framebuffer holds; yields each row's length."""
        self._drawn = 0
        model, scene = self.render_scene.model, self._scene
        option = mujoco.MjvOption()
        option.geomgroup[:] = 0
        shown = [OBJECT_GROUP] if hide_hand else [0, HAND_GROUP, OBJECT_GROUP]
        option.geomgroup[shown] = 1
        assert COLLISION_GROUP not in shown
        option.sitegroup[:] = 0
        camera = mujoco.MjvCamera()
        camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        camera.fixedcamid = 0
        mujoco.mjv_updateScene(
            model, self._data, option, None, camera, mujoco.mjtCatBit.mjCAT_ALL, scene
        )
        for flag in (mujoco.mjtRndFlag.mjRND_SEGMENT, mujoco.mjtRndFlag.mjRND_IDCOLOR):
            scene.flags[flag] = ids
        scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = not ids
        scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        width, height = self._width * scale, self._height * scale
        for start in range(0, len(self.rig.cameras), self._columns):
            row = self.rig.cameras[start : start + self._columns]
            for number, view in enumerate(row):
                camera.fixedcamid = model.camera(view.name).id
                mujoco.mjv_updateCamera(model, self._data, camera, scene)
                rect = mujoco.MjrRect(number * width, 0, width, height)
                mujoco.mjr_render(rect, scene, self._context)
            yield len(row)

    def _read_framebuffer(self, views: int, scale: int) -> NDArray[np.uint8]:
        """A row of views in the framebuffer (H, V*W, 3), bottom line first."""
        viewport = self._viewport(views, scale)
        buffer = np.empty((viewport.height, viewport.width, 3), dtype=np.uint8)
        mujoco.mjr_readPixels(buffer, None, viewport, self._context)
        return buffer

    def _split(self, framebuffer: NDArray[Any]) -> NDArray[Any]:
        """Views (V, H, W, ...), top line first, of a framebuffer (H, V*W, ...)."""
        return views_of_row(framebuffer[::-1], self._width)

    def _depths(self, scale: int, *, hide_hand: bool) -> NDArray[np.float32]:
        """Depths (V, H, W) of the last state, drawn `scale` times larger; see `_read_depth`."""
        rows = self._draw(hide_hand=hide_hand, scale=scale, ids=True)
        return np.concatenate([self._read_depth(views, scale) for views in rows])

    def _read_depth(self, views: int, scale: int) -> NDArray[np.float32]:
        """Depths of every `scale`th pixel: 1 at the near plane, 0 at the far plane."""
        viewport = self._viewport(views, scale)
        row = np.empty((viewport.height, viewport.width), dtype=np.float32)
        mujoco.mjr_readPixels(None, row, viewport, self._context)
        return self._split(row[::scale, ::scale])

    def _ids(self, *, hide_hand: bool) -> NDArray[np.int64]:
        """Geom ids (V, H, W) of the last rendered state; -1 is the background."""
        self._make_current()
        rows = [
            self._split(self._read_framebuffer(views, 1))
            for views in self._draw(hide_hand=hide_hand, scale=1, ids=True)
        ]
        codes = colour_codes(np.concatenate(rows))
        lookup = np.full(self._scene.ngeom + 2, -1, dtype=np.int64)
        for geom in self._scene.geoms[: self._scene.ngeom]:
            if geom.segid >= 0 and geom.objtype == mujoco.mjtObj.mjOBJ_GEOM:
                lookup[geom.segid + 1] = geom.objid
        return np.where(self._outside, -1, lookup[np.minimum(codes, len(lookup) - 1)])

    def close(self) -> None:
        """Frees the graphics context. Further calls have no effect."""
        if self._context is not None and self._gl is not None:
            self._gl.make_current()
            self._context.free()
        if self._gl is not None:
            self._gl.free()
        self._context = self._gl = None
