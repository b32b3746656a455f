"""The renderer: images of a state from every camera of a rig, with what a label needs beside."""

from types import TracebackType
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from opendactyl.files.errors import InputError
from opendactyl.geometry.camera import Camera
from opendactyl.geometry.rig import Rig
from opendactyl.render.appearance import Appearance
from opendactyl.sim.state import State

RENDERERS = ("classic", "filament")
BACKGROUND, HAND, OBJECT = 0, 1, 2
"""The classes of `segment`."""


class Renderer(Protocol):
    """What every renderer offers. Views are in the rig's order; images are uint8 (V, H, W, 3)."""

    rig: Rig

    def render(
        self, state: State, appearance: Appearance, out: NDArray[np.uint8] | None = None
    ) -> NDArray[np.uint8]:
        """Renders a state (V, H, W, 3), into `out` when given."""
        ...

    def segment(self) -> NDArray[np.uint8]:
        """The classes (V, H, W) of the last rendered frame: 0 background, 1 hand, 2 object."""
        ...

    def depth(self) -> NDArray[np.float32]:
        """Depth (V, H, W) of the last rendered frame in metres, along the optical axes."""
        ...

    def object_alone(self) -> NDArray[np.bool_]:
        """Where the object of the last frame would be seen (V, H, W) if nothing else was there."""
        ...

    def visible_fraction(self) -> NDArray[np.float64]:
        """Per view (V,): the object's visible pixels over those it would have unoccluded."""
        ...

    def cameras(self, appearance: Appearance) -> tuple[Camera, ...]:
        """The true cameras: the rig's as jittered by an appearance."""
        ...

    def close(self) -> None:
        """Frees the graphics context."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


def make_renderer(
    kind: str = "classic", *, rig: Rig, object_name: str = "block", image_size: int = 200
) -> Renderer:
    """Opens a renderer; use it as a context manager.

    Args:
        kind: `classic` (MuJoCo's OpenGL) or `filament` (MuJoCo's physically based renderer).
        rig: the cameras.
        object_name: a key of `sim.objects.OBJECTS`.
        image_size: width and height of each view in pixels.

    Raises:
        InputError: there is no such renderer.
    """
    if kind == "classic":
        from opendactyl.render.classic import ClassicRenderer

        return ClassicRenderer(rig.resized(image_size), object_name)
    raise InputError(f"no renderer {kind!r}; the renderers are {', '.join(RENDERERS)}")
