"""Construction of a renderer by name."""

from opendactyl.core.errors import InputError
from opendactyl.geometry.rig import Rig
from opendactyl.render.base import RENDERERS, Renderer
from opendactyl.render.filament.renderer import FilamentRenderer
from opendactyl.render.opengl.renderer import ClassicRenderer
from opendactyl.sim.hands.spec import DEFAULT_HAND


def make_renderer(
    kind: str = "classic",
    *,
    rig: Rig,
    object_name: str = "block",
    hand: str = DEFAULT_HAND,
    image_size: int = 200,
) -> Renderer:
    """Opens a renderer, which is a context manager.

    Args:
        kind: `classic` (MuJoCo's OpenGL) or `filament` (MuJoCo's physically based renderer).
        rig: the cameras.
        object_name: a shipped object, or the path of an object's file.
        hand: a shipped hand, or the path of a hand's file.
        image_size: width and height of each view in pixels.

    Raises:
        InputError: no such renderer, object or hand.
        EnvironmentFailure: no OpenGL context or Vulkan device is available.
    """
    if kind == "classic":
        return ClassicRenderer(rig.resized(image_size), object_name, hand)
    if kind == "filament":
        return FilamentRenderer(rig.resized(image_size), object_name, hand)
    raise InputError(f"no renderer {kind!r}; the renderers are {', '.join(RENDERERS)}")
