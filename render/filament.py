"""MuJoCo's physically based renderer (Filament on Vulkan): the one nobody trains on.

It shares nothing with `classic` but the scene, so that a network trained on one and tested on the
other meets images of another make. No window system is needed.
"""

import atexit
import functools
import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import mujoco
import numpy as np
from numpy.typing import NDArray

from opendactyl.files.errors import InputError
from opendactyl.geometry.camera import Camera
from opendactyl.geometry.rig import Rig
from opendactyl.geometry.rigid import invert_pose
from opendactyl.render.appearance import MAX_DISTRACTORS, MAX_LIGHTS, Appearance
from opendactyl.render.renderer import OBJECT, geom_classes, share_visible
from opendactyl.render.studio import FAR, NEAR, build_studio, dress, true_cameras
from opendactyl.render.vulkan import count_devices
from opendactyl.sim.hand_frame import WORLD_FROM_HAND
from opendactyl.sim.scene import HAND_GROUP, OBJECT_GROUP
from opendactyl.sim.state import State

SUPERSAMPLING = 2
"""Pictures are rendered this many times larger in each direction and averaged in linear light.

Filament's own anti-aliasing is part of its post-processing, whose dithering differs from frame to
frame: it is off, so that a state and an appearance always give the same bytes.
"""
CANDELA = 170_000.0
"""Luminous intensity of a light of intensity 1, chosen to look as bright as in `classic`."""
ENVIRONMENT = 16_000.0
"""Illuminance by the environment for an ambient of 1, in lux; chosen likewise."""
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
"""Which of MuJoCo's sizes of a geom is Filament's along x, y and z."""


def _make_context() -> Any:
    """A Filament context; it serves one scene, for a second one's first picture would fail.

    Raises:
        InputError: Filament or a Vulkan driver is missing.
    """
    try:
        # Without this import, creating a context aborts the process.
        import mujoco.studio.window  # noqa: F401  # pyright: ignore[reportMissingImports]
        from mujoco import mjrf
    except ImportError as error:
        raise InputError(f"no filament renderer in this MuJoCo ({error}); use classic") from error
    count_devices()
    config = mjrf.ContextConfig()
    config.graphics_api = mjrf.GraphicsApi.GRAPHICS_API_VULKAN
    with _silence():
        return mjrf.Context(config)


_open_renderers: "weakref.WeakSet[FilamentRenderer]" = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """Frees everything in its order: left to the interpreter's end, it would crash there."""
    for renderer in list(_open_renderers):
        renderer.close()


@contextmanager
def _silence() -> Iterator[None]:
    """Keeps a library's greetings off the terminal."""
    kept = [(number, os.dup(number)) for number in (1, 2)]
    with open(os.devnull, "w") as nowhere:
        for number, _ in kept:
            os.dup2(nowhere.fileno(), number)
    try:
        yield
    finally:
        for number, copy in kept:
            os.dup2(copy, number)
            os.close(copy)


class FilamentRenderer:
    """Renders with Filament; same states, rig, appearances and labels as `ClassicRenderer`."""

    def __init__(
        self, rig: Rig, object_name: str = "block", *, supersampling: int = SUPERSAMPLING
    ) -> None:
        """Builds the scene for a rig whose cameras all have one size."""
        self._open = False
        if len({(camera.width, camera.height) for camera in rig.cameras}) != 1:
            raise InputError("the cameras of a rig must have one image size to be rendered")
        self._filament = _make_context()
        self.rig = rig
        self.studio = build_studio(rig, object_name, full_meshes=True)
        self._height, self._width = rig.cameras[0].height, rig.cameras[0].width
        self._scale = supersampling
        self._data = mujoco.MjData(self.studio.model)
        self._classes = geom_classes(self.studio.scene)
        self._cameras: tuple[Camera, ...] = rig.cameras
        self._build_scene()
        self._targets = {
            "picture": _Target(self._filament, *self._row(supersampling), "RGB8", np.uint8, 3),
            "ids": _Target(self._filament, *self._row(1), "RGB8", np.uint8, 3),
            "depth": _Target(self._filament, *self._row(1), "R32F", np.float32, 1),
        }
        self._open = True
        _open_renderers.add(self)

    def _row(self, scale: int) -> tuple[int, int]:
        return self._height * scale, self._width * len(self.rig.cameras) * scale

    def _build_scene(self) -> None:
        from mujoco import mjrf

        model = self.studio.model
        self._scene = self._filament.create_scene(mjrf.SceneParams())
        self._scene.configure_from_model(model)
        self._resources = mjrf.ModelResources(self._filament, model)
        self._solids = mjrf.ModelRenderables(self._scene, self._resources)
        self._lights = [
            self._add_light(type=mjrf.LightType.LIGHT_SPOT, bulb_radius=BULB_RADIUS,
                            cast_shadow=True, softness=1.0, shadow_map_size=SHADOW_MAP, range=10.0)
            for _ in range(MAX_LIGHTS)
        ]  # fmt: skip
        assets = Path(str(mujoco.__file__)).parent / "studio" / "assets"
        self._sky = self._texture((assets / "ibl.ktx").read_bytes(), None)
        self._environment = self._add_light(type=mjrf.LightType.LIGHT_IMAGE, texture=self._sky)
        size = self.studio.textures.shape[1]
        self._textures = [
            self._texture(texture.tobytes(), size) for texture in self.studio.textures
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
        _upload(texture, content)
        return texture

    def render(
        self, state: State, appearance: Appearance, out: NDArray[np.uint8] | None = None
    ) -> NDArray[np.uint8]:
        """Renders a state (V, H, W, 3), into `out` when given."""
        self._check_open()
        dress(self.studio, appearance)
        self._cameras = true_cameras(self.rig, appearance)
        self._data.qpos[:] = self.studio.scene.qpos(state)
        mujoco.mj_kinematics(self.studio.model, self._data)
        # Solids are drawn in the order they entered the scene, which decides between equal depths.
        self._show([])
        self._show([0, HAND_GROUP, OBJECT_GROUP])
        self._place_lights(appearance)
        self._paint_room()
        pixels = _tone_map(self._split(self._shoot("picture", "DEFAULT"), self._scale), self._scale)
        if out is None:
            return pixels
        out[...] = pixels
        return out

    def _place_lights(self, appearance: Appearance) -> None:
        model = self.studio.model
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

    def _paint_room(self) -> None:
        """What `ModelRenderables` does not follow: textures, and the shapes of distractors."""
        model = self.studio.model
        for texture, pixels in zip(self._textures, self.studio.textures, strict=True):
            _upload(texture, pixels.tobytes())
        for name in ("floor", "wall0", "wall1", "wall2", "wall3"):
            solid = self._solid(model.geom(name).id)
            material = solid.get_material()
            material.color_texture = self._textures[name != "floor"]
            repeat = model.mat_texrepeat[int(model.geom(name).matid[0])]
            material.uv_scale = np.array([*repeat, 1.0])
            solid.set_material(material)
        for number in range(MAX_DISTRACTORS):
            geom = model.geom(f"distractor{number}")
            shape = mujoco.mjtGeom(int(geom.type[0]))
            solid = self._solid(geom.id)
            solid.set_geom_mesh(shape, *_ROUND)
            solid.set_size(geom.size[list(_AXES[shape])])

    def _solid(self, geom: int) -> Any:
        return self._solids.get_renderable(mujoco.mjtObj.mjOBJ_GEOM, geom)

    def _show(self, groups: list[int]) -> None:
        option = mujoco.MjvOption()
        option.geomgroup[:] = 0
        option.geomgroup[groups] = 1
        option.sitegroup[:] = 0
        self._solids.set_options(option)
        self._solids.update(self._data)

    def _shoot(self, target_name: str, mode: str) -> NDArray[Any]:
        """One row of views (H, V*W, ...), all in one read-back."""
        from mujoco import mjrf

        target = self._targets[target_name]
        height, width = target.height, target.width // len(self._cameras)
        requests = []
        for number, camera in enumerate(self._cameras):
            request = mjrf.RenderRequest()
            request.scene, request.target = self._scene, target.target
            request.camera = mjrf.Camera(**_frustum(camera))
            request.viewport = mjrf.Rect(left=number * width, bottom=0, width=width, height=height)
            request.draw_mode = getattr(mjrf.DrawMode, f"DRAW_MODE_{mode}")
            request.post_processing = request.skybox = False
            request.haze = request.reflections = False
            requests.append(request)
        self._filament.wait_for_frame(self._filament.render(requests, [target.read]))
        return target.pixels

    def _split(self, wide: NDArray[Any], scale: int = 1) -> NDArray[Any]:
        views = wide.reshape(
            self._height * scale, len(self.rig.cameras), self._width * scale, *wide.shape[2:]
        )
        return np.ascontiguousarray(np.swapaxes(views, 0, 1))

    def _ids(self) -> NDArray[np.int64]:
        """Geom ids (V, H, W) of the last state; -1 is the background."""
        self._check_open()
        pixels = self._split(self._shoot("ids", "SEGMENTATION_BY_ID")).astype(np.int64)
        codes = pixels[..., 0] + (pixels[..., 1] << 8) + (pixels[..., 2] << 16)
        return np.where(codes > self.studio.model.ngeom, 0, codes) - 1

    def segment(self) -> NDArray[np.uint8]:
        """The classes (V, H, W) of the last rendered frame: 0 background, 1 hand, 2 object."""
        return self._classes[self._ids()]

    def object_alone(self) -> NDArray[np.bool_]:
        """Where the object of the last frame would be seen (V, H, W) if nothing else was there."""
        self._check_open()
        self._show([OBJECT_GROUP])
        alone = self._classes[self._ids()] == OBJECT
        self._show([0, HAND_GROUP, OBJECT_GROUP])
        return alone

    def visible_fraction(self) -> NDArray[np.float64]:
        """Per view (V,): the object's visible pixels over those it would have unoccluded."""
        return share_visible(self.segment(), self.object_alone())

    def depth(self) -> NDArray[np.float32]:
        """Depth (V, H, W) of the last rendered frame in metres, along the optical axes."""
        self._check_open()
        reversed_depth = self._split(self._shoot("depth", "DEPTH")).astype(np.float64)
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
        for light in (*self._lights, self._environment):
            self._scene.remove_light(light)
        # Children before what they refer to.
        del self._targets, self._solids, self._resources, self._lights, self._environment
        del self._textures, self._sky, self._scene
        self._filament.flush()
        del self._filament

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class _Target:
    """A buffer to render into, and the array its pixels are read into."""

    def __init__(
        self, filament: Any, height: int, width: int, kind: str, dtype: type, channels: int
    ) -> None:
        from mujoco import mjrf

        config = mjrf.RenderTargetConfig()
        config.height, config.width = height, width
        config.color_format = getattr(mjrf.PixelFormat, f"PIXEL_FORMAT_{kind}")
        self.height, self.width = height, width
        self.target = filament.create_render_target(config)
        shape = (height, width) if channels == 1 else (height, width, channels)
        self.pixels = np.zeros(shape, dtype=dtype)
        self.read = mjrf.ReadRequest(target=self.target)
        self.read.set_buffer(self.pixels)


def _upload(texture: Any, content: bytes) -> None:
    from mujoco import mjrf

    data = mjrf.TextureData()
    data.set_image(content)
    texture.upload(data)


def _frustum(camera: Camera) -> dict[str, Any]:
    """A camera in the world as OpenGL describes one: exact for any principal point."""
    world_from_cam = WORLD_FROM_HAND @ invert_pose(camera.cam_from_hand)
    fx, fy, cx, cy = camera.K[[0, 1, 0, 1], [0, 1, 2, 2]]
    return {
        "pos": world_from_cam[:3, 3],
        "forward": world_from_cam[:3, 2],
        "up": -world_from_cam[:3, 1],
        "frustum_center": NEAR * (camera.width / 2 - cx) / fx,
        "frustum_width": NEAR * camera.width / 2 / fx,
        "frustum_bottom": -NEAR * (camera.height - cy) / fy,
        "frustum_top": NEAR * cy / fy,
        "frustum_near": NEAR,
        "frustum_far": FAR,
    }


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
