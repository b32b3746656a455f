"""The renderer: images of a state from every camera of a rig, with what a label needs beside."""

from types import TracebackType
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from opendactyl.geometry.camera import Camera
from opendactyl.geometry.rig import Rig
from opendactyl.render.appearance.config import Appearance
from opendactyl.sim.scene import Scene
from opendactyl.sim.state import State

RENDERERS = ("classic", "filament")
REPEATS = {
    "classic": "images and labels to the byte",
    "filament": "labels to the byte; images within a process, all but a few pixels in another",
}
"""What the same state and appearance give again, on one type of machine."""
EXACT = ("classic",)
"""The renderers whose shards repeat to the byte whoever makes them."""
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


def geom_classes(scene: Scene) -> NDArray[np.uint8]:
    """Class of each geom id; the last entry, index -1, is the background."""
    model = scene.model
    classes = np.zeros(model.ngeom + 1, dtype=np.uint8)
    classes[:-1][model.geom_bodyid != 0] = HAND
    classes[:-1][model.geom_bodyid == scene.object_body] = OBJECT
    return classes


def fraction_visible(classes: NDArray[np.uint8], alone: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Per view (V,): pixels of the object in `classes` over those it has `alone` (V, H, W)."""
    visible = np.sum(classes == OBJECT, axis=(1, 2))
    return np.minimum(visible / np.maximum(np.sum(alone, axis=(1, 2)), 1), 1.0)
