"""The renderer interface: images of a state from all cameras of a rig, masks and depth."""

from types import TracebackType
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from opendactyl.geometry.camera import Camera
from opendactyl.geometry.rig import Rig
from opendactyl.render.appearance.config import Appearance
from opendactyl.sim.hands.model import HAND_GROUP
from opendactyl.sim.scene import Scene
from opendactyl.sim.state import State

RENDERERS = ("classic", "filament")
REPEATS = {
    "classic": "images and labels are byte-identical",
    "filament": "labels are byte-identical; a few pixels differ between processes",
}
"""Reproducibility of the same state and appearance, on one type of machine."""
EXACT = ("classic",)
"""Renderers whose images are byte-identical in every process."""
MAX_FRAMEBUFFER = 16_384
"""Largest width of a framebuffer that drivers commonly allow, in pixels."""
BACKGROUND, HAND, OBJECT = 0, 1, 2
"""The classes of `segment`."""


class Renderer(Protocol):
    """Interface of the renderers. Views are in the order of the rig; images are uint8."""

    rig: Rig

    def render(
        self, state: State, appearance: Appearance, out: NDArray[np.uint8] | None = None
    ) -> NDArray[np.uint8]:
        """Renders a state to images (V, H, W, 3), in `out` if given."""
        ...

    def segment(self) -> NDArray[np.uint8]:
        """The classes (V, H, W) of the last rendered frame: 0 background, 1 hand, 2 object."""
        ...

    def depth(self) -> NDArray[np.float32]:
        """Depth (V, H, W) of the last rendered frame in metres, along the optical axes."""
        ...

    def unoccluded_mask(self) -> NDArray[np.bool_]:
        """Mask (V, H, W) of the object in the last rendered frame, without occluders."""
        ...

    def visible_fraction(self) -> NDArray[np.float64]:
        """Ratio (V,) of the object's visible pixels to those of its unoccluded mask."""
        ...

    def cameras(self, appearance: Appearance) -> tuple[Camera, ...]:
        """The true cameras: those of the rig with the jitter of an appearance."""
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
    """Class of each geom id (ngeom + 1,); the last entry, index -1, is the background.

    What a scene without a hand consists of has the hand's class.
    """
    model = scene.model
    classes = np.zeros(model.ngeom + 1, dtype=np.uint8)
    classes[:-1][(model.geom_bodyid != 0) & (model.geom_group == HAND_GROUP)] = HAND
    classes[:-1][model.geom_bodyid == scene.object_body] = OBJECT
    return classes


def outside_frames(rig: Rig) -> NDArray[np.bool_]:
    """Pixels (V, H, W) of regions of interest that lie beyond the frames of their cameras.

    Real frames have no content there, and neither have rendered images.
    """
    masks = []
    for camera in rig.cameras:
        left, top, width, height = camera.frame or (0, 0, camera.width, camera.height)
        x, y = np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5
        columns, rows = (x > left) & (x < left + width), (y > top) & (y < top + height)
        masks.append(~(rows[:, None] & columns))
    return np.stack(masks)


def mask_ratio(classes: NDArray[np.uint8], unoccluded: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Ratio (V,) of the object's pixels in `classes` to those in `unoccluded` (both V, H, W)."""
    visible = np.sum(classes == OBJECT, axis=(1, 2))
    return np.minimum(visible / np.maximum(np.sum(unoccluded, axis=(1, 2)), 1), 1.0)
