"""Elements of a Filament scene: context, textures, render targets and cameras."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from opendactyl.core.errors import EnvironmentFailure
from opendactyl.geometry.camera import Camera
from opendactyl.geometry.transforms import invert_pose
from opendactyl.render.filament.vulkan import count_devices
from opendactyl.render.scene import FAR, NEAR
from opendactyl.sim.hands.frame import HandFrame


def make_context() -> Any:
    """Creates a Filament context. Use it for one scene: the first image of a second one fails.

    Raises:
        EnvironmentFailure: MuJoCo was built without Filament, or there is no Vulkan device.
    """
    try:
        # Without this import, creating a context aborts the process.
        import mujoco.studio.window  # noqa: F401  # pyright: ignore[reportMissingImports]
        from mujoco import mjrf
    except ImportError as error:
        raise EnvironmentFailure(
            f"this MuJoCo has no filament renderer ({error}); use the classic renderer"
        ) from error
    count_devices()
    config = mjrf.ContextConfig()
    config.graphics_api = mjrf.GraphicsApi.GRAPHICS_API_VULKAN
    with _suppress_output():
        return mjrf.Context(config)


@contextmanager
def _suppress_output() -> Iterator[None]:
    """Discards what a C library prints to stdout and stderr."""
    # C buffers its output unless it is a terminal, hence the flush before each redirection.
    flush = ctypes.CDLL(None).fflush
    flush(None)
    copies = [(number, os.dup(number)) for number in (1, 2)]
    with open(os.devnull, "w") as null:
        for number, _ in copies:
            os.dup2(null.fileno(), number)
    try:
        yield
    finally:
        flush(None)
        for number, copy in copies:
            os.dup2(copy, number)
            os.close(copy)


class Target:
    """A render target, and the array that its pixels are read into."""

    def __init__(
        self, filament: Any, height: int, width: int, kind: str, dtype: type, channels: int
    ) -> None:
        """Creates both; sizes are in pixels, `kind` is one of Filament's pixel formats."""
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


def upload(texture: Any, content: bytes) -> None:
    """Uploads pixels, or the content of a KTX file, to a texture."""
    from mujoco import mjrf

    data = mjrf.TextureData()
    data.set_image(content)
    texture.upload(data)


def frustum(camera: Camera, frame: HandFrame) -> dict[str, Any]:
    """A camera's pose in the world and its OpenGL frustum, exact for any principal point."""
    world_from_cam = frame.world_from_hand @ invert_pose(camera.cam_from_hand)
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
