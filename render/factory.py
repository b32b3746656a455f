"""Construction of a renderer by name."""

from opendactyl.core.errors import InputError
from opendactyl.geometry.rig import Rig
from opendactyl.render.base import RENDERERS, Renderer
from opendactyl.render.filament.renderer import FilamentRenderer
from opendactyl.render.opengl.renderer import ClassicRenderer


def make_renderer(
    kind: str = "classic", *, rig: Rig, object_name: str = "block", image_size: int = 200
) -> Renderer:
    """Opens a renderer, which is a context manager.

    Args:
        kind: `classic` (MuJoCo's OpenGL) or `filament` (MuJoCo's physically based renderer).
        rig: the cameras.
        object_name: a shipped object, or the path of an object's file.
        image_size: width and height of each view in pixels.

    Raises:
        InputError: no such renderer or object.
        EnvironmentFailure: no OpenGL context or Vulkan device is available.
    """
    if kind == "classic":
        return ClassicRenderer(rig.resized(image_size), object_name)
    if kind == "filament":
        return FilamentRenderer(rig.resized(image_size), object_name)
    raise InputError(f"no renderer {kind!r}; the renderers are {', '.join(RENDERERS)}")
