"""The plain loop as a peer: one `mujoco.Renderer`, default quality, full meshes."""

from types import TracebackType
from typing import Self

import mujoco
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from opendactyl.geometry.rig import Rig
from opendactyl.render.appearance.config import Appearance
from opendactyl.render.scene import apply_appearance, build_render_scene
from opendactyl.sim.hands.model import HAND_GROUP
from opendactyl.sim.object_geoms import COLLISION_GROUP, OBJECT_GROUP
from opendactyl.sim.state import State


class PlainRenderer:
    """Renders the same scene, lights, shadows and textures as `classic`, camera by camera."""

    def __init__(self, rig: Rig, *, supersampling: int = 1) -> None:
        """Opens a renderer; with `supersampling` above 1 it renders the reference of both sides."""
        self._scale = supersampling
        self._rig = rig
        self._render_scene = build_render_scene(rig, "block", full_meshes=True)
        model = self._render_scene.model
        defaults = mujoco.MjModel.from_xml_string("<mujoco/>").vis.quality
        model.vis.quality.offsamples = defaults.offsamples
        model.vis.quality.shadowsize = defaults.shadowsize
        model.vis.quality.numquads = defaults.numquads
        height, width = rig.cameras[0].height * supersampling, rig.cameras[0].width * supersampling
        model.vis.global_.offheight, model.vis.global_.offwidth = height, width
        self._data = mujoco.MjData(model)
        self._renderer = mujoco.Renderer(model, height, width)
        self._option = mujoco.MjvOption()
        self._option.geomgroup[COLLISION_GROUP] = 0
        self._option.geomgroup[[0, HAND_GROUP, OBJECT_GROUP]] = 1
        self._option.sitegroup[:] = 0
        self._textures = [model.texture(name).id for name in ("floor", "wall")]

    def render(self, state: State, appearance: Appearance) -> NDArray[np.uint8]:
        """Renders all views (V, H, W, 3)."""
        model, data = self._render_scene.model, self._data
        apply_appearance(self._render_scene, appearance)
        for number, texture in zip(self._textures, self._render_scene.textures, strict=True):
            start = model.tex_adr[number]
            model.tex_data[start : start + texture.size] = texture.ravel()
            mujoco.mjr_uploadTexture(model, self._renderer._mjr_context, number)
        data.qpos[:] = self._render_scene.scene.qpos(state)
        mujoco.mj_forward(model, data)
        views = []
        for camera in self._rig.cameras:
            self._renderer.update_scene(data, camera=camera.name, scene_option=self._option)
            views.append(self._reduced(self._renderer.render()))
        return np.stack(views)

    def visible_fraction(self) -> NDArray[np.float64]:
        """Visible part (V,) of the object, by segmentation with the hand and without."""
        self._renderer.enable_segmentation_rendering()
        shown = self._object_pixels()
        self._option.geomgroup[[0, HAND_GROUP]] = 0
        alone = self._object_pixels()
        self._option.geomgroup[[0, HAND_GROUP]] = 1
        self._renderer.disable_segmentation_rendering()
        return shown / np.maximum(alone, 1)

    def _object_pixels(self) -> NDArray[np.int64]:
        model = self._render_scene.model
        geoms = np.flatnonzero(np.isin(model.geom_bodyid, self._render_scene.scene.object_bodies))
        counts = []
        for camera in self._rig.cameras:
            self._renderer.update_scene(self._data, camera.name, scene_option=self._option)
            ids, kinds = np.moveaxis(self._renderer.render(), -1, 0)
            counts.append(np.sum(np.isin(ids, geoms) & (kinds == int(mujoco.mjtObj.mjOBJ_GEOM))))
        return np.array(counts)

    def close(self) -> None:
        """Frees the renderer."""
        self._renderer.close()

    def _reduced(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self._scale == 1:
            return pixels
        return np.asarray(Image.fromarray(pixels).reduce(self._scale))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
