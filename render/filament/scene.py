"""The scene in Filament: renderables, lights and textures, updated from a `RenderScene`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from opendactyl.geometry.camera import Camera
from opendactyl.render.appearance.config import MAX_DISTRACTORS, MAX_LIGHTS, Appearance
from opendactyl.render.filament.context import Target, frustum, make_context, upload
from opendactyl.render.scene import RenderScene
from opendactyl.sim.hands.model import HAND_GROUP
from opendactyl.sim.object_geoms import OBJECT_GROUP

CANDELA = 170_000.0
"""Luminous intensity of a light of intensity 1, chosen to match the brightness of `classic`."""
ENVIRONMENT = 16_000.0
"""Illuminance of the environment for an ambient intensity of 1, in lux; chosen likewise."""
BULB_RADIUS = 0.02
"""Radius of a light in metres."""
SHADOW_MAP = 512
_ROUND = (20, 20, 2)
"""Subdivision of round distractors."""
_AXES = {
    mujoco.mjtGeom.mjGEOM_BOX: (0, 1, 2),
    mujoco.mjtGeom.mjGEOM_SPHERE: (0, 0, 0),
    mujoco.mjtGeom.mjGEOM_CAPSULE: (0, 0, 1),
}
"""Indices of MuJoCo's geom sizes that are Filament's sizes along x, y and z."""


class FilamentScene:
    """A `RenderScene` in Filament, with its render targets."""

    def __init__(self, render_scene: RenderScene, sizes: dict[str, tuple[int, int]]) -> None:
        """Builds the scene.

        Args:
            render_scene: the scene to render.
            sizes: height and width of the row of views, in pixels, for each of the targets `image`,
                `ids` and `depth`.

        Raises:
            EnvironmentFailure: MuJoCo was built without Filament, or there is no Vulkan device.
        """
        self._filament = make_context()
        self.render_scene = render_scene
        self._build_scene()
        kinds = {"image": ("RGB8", np.uint8, 3), "ids": ("RGB8", np.uint8, 3),
                 "depth": ("R32F", np.float32, 1)}  # fmt: skip
        self._targets = {
            name: Target(self._filament, *sizes[name], *kind) for name, kind in kinds.items()
        }

    def _build_scene(self) -> None:
        from mujoco import mjrf

        model = self.render_scene.model
        # Images of object and scenery are sRGB; `classic` does not convert.
        for number in range(model.ntex):
            if model.texture(number).name not in ("floor", "wall"):
                model.tex_colorspace[number] = mujoco.mjtColorSpace.mjCOLORSPACE_SRGB
        self._scene = self._filament.create_scene(mjrf.SceneParams())
        self._scene.configure_from_model(model)
        self._resources = mjrf.ModelResources(self._filament, model)
        self._renderables = mjrf.ModelRenderables(self._scene, self._resources)
        self._lights = [
            self._add_light(type=mjrf.LightType.LIGHT_SPOT, bulb_radius=BULB_RADIUS,
                            cast_shadow=True, softness=1.0, shadow_map_size=SHADOW_MAP, range=10.0)
            for _ in range(MAX_LIGHTS)
        ]  # fmt: skip
        assets = Path(str(mujoco.__file__)).parent / "studio" / "assets"
        self._sky_texture = self._texture((assets / "ibl.ktx").read_bytes(), None)
        self._environment = self._add_light(
            type=mjrf.LightType.LIGHT_IMAGE, texture=self._sky_texture
        )
        size = self.render_scene.textures.shape[1]
        self._textures = [
            self._texture(texture.tobytes(), size) for texture in self.render_scene.textures
        ]

    def _add_light(self, **values: Any) -> Any:
        from mujoco import mjrf

        light = self._filament.create_light(mjrf.LightParams(**values))
        self._scene.add_light(light)
        return light

    def _texture(self, content: bytes, size: int | None) -> Any:
        """A square sRGB texture, or a cube map when `content` is a KTX file."""
        from mujoco import mjrf

        if size is None:
            config = mjrf.TextureConfig(
                width=len(content), height=0, format=mjrf.PixelFormat.PIXEL_FORMAT_KTX,
                sampler_type=mjrf.SamplerType.TEXTURE_CUBE,
            )  # fmt: skip
        else:
            config = mjrf.TextureConfig(
                width=size, height=size, format=mjrf.PixelFormat.PIXEL_FORMAT_RGB8,
                sampler_type=mjrf.SamplerType.TEXTURE_2D,
                color_space=mjrf.ColorSpace.COLORSPACE_SRGB,
            )  # fmt: skip
        texture = self._filament.create_texture(config)
        upload(texture, content)
        return texture

    def update(self, data: mujoco.MjData, appearance: Appearance) -> None:
        """Updates poses, materials, lights and textures from the model and `data`."""
        # Renderables are drawn in the order of insertion, which decides between equal depths.
        self.show(data, [])
        self.show(data, [0, HAND_GROUP, OBJECT_GROUP])
        self._update_lights(appearance)
        self._update_room()

    def _update_lights(self, appearance: Appearance) -> None:
        model = self.render_scene.model
        for number, light in enumerate(self._lights):
            active = number < len(appearance.lights)
            light.set_active(active)
            if not active:
                continue
            light.set_pose(model.light_pos[number], model.light_dir[number])
            light.set_color(np.ones(3))
            light.set_intensity(appearance.lights[number].intensity * CANDELA)
            light.set_cutoff(appearance.lights[number].cone)
            light.set_cast_shadow(bool(model.light_castshadow[number]))
        self._environment.set_intensity(appearance.ambient * ENVIRONMENT)

    def _update_room(self) -> None:
        """Updates what `ModelRenderables` does not: textures and the shapes of distractors."""
        model = self.render_scene.model
        for texture, pixels in zip(self._textures, self.render_scene.textures, strict=True):
            upload(texture, pixels.tobytes())
        for name in ("floor", "wall0", "wall1", "wall2", "wall3"):
            renderable = self._renderable(model.geom(name).id)
            material = renderable.get_material()
            material.color_texture = self._textures[name != "floor"]
            repeat = model.mat_texrepeat[int(model.geom(name).matid[0])]
            material.uv_scale = np.array([*repeat, 1.0])
            renderable.set_material(material)
        for number in range(MAX_DISTRACTORS):
            geom = model.geom(f"distractor{number}")
            shape = mujoco.mjtGeom(int(geom.type[0]))
            renderable = self._renderable(geom.id)
            renderable.set_geom_mesh(shape, *_ROUND)
            renderable.set_size(geom.size[list(_AXES[shape])])

    def _renderable(self, geom: int) -> Any:
        return self._renderables.get_renderable(mujoco.mjtObj.mjOBJ_GEOM, geom)

    def show(self, data: mujoco.MjData, groups: list[int]) -> None:
        """Shows the geoms of the given groups only, with the poses in `data`."""
        option = mujoco.MjvOption()
        option.geomgroup[:] = 0
        option.geomgroup[groups] = 1
        option.sitegroup[:] = 0
        self._renderables.set_options(option)
        self._renderables.update(data)

    def render(self, target_name: str, mode: str, cameras: Sequence[Camera]) -> NDArray[Any]:
        """Renders a row of views (H, V*W, ...), read back once; `mode` is a Filament draw mode."""
        from mujoco import mjrf

        target = self._targets[target_name]
        height, width = target.height, target.width // len(cameras)
        requests = []
        for number, camera in enumerate(cameras):
            request = mjrf.RenderRequest()
            request.scene, request.target = self._scene, target.target
            request.camera = mjrf.Camera(**frustum(camera, self.render_scene.scene.hand.frame))
            request.viewport = mjrf.Rect(left=number * width, bottom=0, width=width, height=height)
            request.draw_mode = getattr(mjrf.DrawMode, f"DRAW_MODE_{mode}")
            request.post_processing = request.skybox = False
            request.haze = request.reflections = False
            requests.append(request)
        self._filament.wait_for_frame(self._filament.render(requests, [target.read]))
        return target.pixels

    def close(self) -> None:
        """Frees the context and its resources."""
        for light in (*self._lights, self._environment):
            self._scene.remove_light(light)
        # Resources before the objects that they refer to.
        del self._targets, self._renderables, self._resources, self._lights, self._environment
        del self._textures, self._sky_texture, self._scene
        self._filament.flush()
        del self._filament
