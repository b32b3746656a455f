"""The renderer interface: images of a state from all cameras of a rig, masks and depth."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Protocol, Self

import mujoco
import numpy as np
from numpy.typing import NDArray

from opendactyl.core.errors import InputError
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
_AWAY = (0.0, 0.0, -1000.0)


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
        """Depth (V, H, W) of the last rendered frame in metres, along the optical axes.

        It is 0 beyond the frame of a region of interest.
        """
        ...

    def segment_bodies(self) -> NDArray[np.uint8]:
        """The object's bodies (V, H, W) in the last rendered frame, from 1; 0 is all else."""
        ...

    def unoccluded_mask(self, body: int | None = None) -> NDArray[np.bool_]:
        """Mask (V, H, W) of the object in the last rendered frame, without occluders.

        That of one of its bodies (`ObjectSpec.bodies`) if a number is given.
        """
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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def geom_classes(scene: Scene) -> NDArray[np.uint8]:
    """Class of each geom id (ngeom + 1,); the last entry, index -1, is the background.

    What a scene without a hand consists of has the hand's class.
    """
    model = scene.model
    classes = np.zeros(model.ngeom + 1, dtype=np.uint8)
    classes[:-1][(model.geom_bodyid != 0) & (model.geom_group == HAND_GROUP)] = HAND
    classes[:-1][np.isin(model.geom_bodyid, scene.object_bodies)] = OBJECT
    return classes


def body_numbers(scene: Scene) -> NDArray[np.uint8]:
    """For each geom id (ngeom + 1,), the number of the object's body from 1, or 0."""
    numbers = np.zeros(scene.model.ngeom + 1, dtype=np.uint8)
    for number, body in enumerate(scene.object_bodies, start=1):
        numbers[:-1][scene.model.geom_bodyid == body] = number
    return numbers


@contextmanager
def shown_alone(scene: Scene, data: mujoco.MjData, body: int | None) -> Iterator[None]:
    """Within the context, other bodies of the object than the one with a number are far away."""
    of_geom = scene.model.geom_bodyid
    hidden = scene.model.body_rootid[of_geom] == scene.object_body
    hidden &= body is not None and of_geom != scene.object_bodies[body]
    positions = data.geom_xpos[hidden]
    data.geom_xpos[hidden] = _AWAY
    try:
        yield
    finally:
        data.geom_xpos[hidden] = positions


def image_size(rig: Rig) -> tuple[int, int]:
    """Width and height of the images of all cameras.

    Raises:
        InputError: they differ.
    """
    sizes = {(camera.width, camera.height) for camera in rig.cameras}
    if len(sizes) != 1:
        raise InputError("all cameras of a rig must have the same image size")
    return sizes.pop()


def views_of_row(row: NDArray[Any], width: int) -> NDArray[Any]:
    """Views (V, H, W, ...) of `width` pixels each, of a row of them (H, V*W, ...)."""
    views = row.reshape(len(row), -1, width, *row.shape[2:])
    return np.ascontiguousarray(np.swapaxes(views, 0, 1))


def colour_codes(pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The numbers (...) that colours (..., 3) encode, lowest byte first."""
    red, green, blue = np.moveaxis(pixels.astype(np.int64), -1, 0)
    return red + (green << 8) + (blue << 16)


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
