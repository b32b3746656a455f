"""Drawing of a pose on an image: its three axes, projected by a camera."""

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw

from opendactyl.geometry.camera import Camera
from opendactyl.geometry.rotation import quat_rotate

AXIS_LENGTH = 0.045
"""Length of an axis in metres."""
RED_GREEN_BLUE = ((235, 45, 45), (45, 205, 65), (65, 115, 255))
"""Colours of the x, y and z axes."""

Colour = tuple[int, int, int]


def draw_pose(
    image: Image.Image,
    camera: Camera,
    position: ArrayLike,
    quaternion: ArrayLike,
    *,
    colours: tuple[Colour, Colour, Colour] = RED_GREEN_BLUE,
    width: int = 1,
) -> None:
    """Draws the axes of a pose on a camera's image, in place; nothing behind the camera.

    Args:
        image: the camera's image, at any resolution.
        camera: the camera that took it.
        position: origin of the axes (3,) in the hand frame, in metres.
        quaternion: orientation (4,) in the hand frame.
        colours: colours of the x, y and z axes.
        width: line width in pixels.
    """
    origin = np.asarray(position, dtype=np.float64)
    ends = origin + quat_rotate(quaternion, np.eye(3) * AXIS_LENGTH)
    pixels, _ = camera.scaled(*image.size).project(np.vstack([origin, ends]))
    canvas = ImageDraw.Draw(image)
    for end, colour in zip(pixels[1:], colours, strict=True):
        if np.isfinite([pixels[0], end]).all():
            canvas.line([tuple(pixels[0]), tuple(end)], fill=colour, width=width)
