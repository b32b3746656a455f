"""Draws a pose into a picture: three axes as a camera sees them."""

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw

from opendactyl.geometry.camera import Camera
from opendactyl.geometry.rotation import quat_rotate

AXIS_LENGTH = 0.045
"""Length of an axis in metres."""
RED_GREEN_BLUE = ((235, 45, 45), (45, 205, 65), (65, 115, 255))
"""The colours of x, y and z."""

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
    """Draws the axes of a pose into a camera's image, in place.

    Args:
        image: a picture of the camera's view, of any size.
        camera: the camera.
        position: where the axes meet (3,), in metres in the hand frame.
        quaternion: the orientation (4,) in the hand frame.
        colours: of the x, y and z axis.
        width: of the lines, in pixels.
    """
    origin = np.asarray(position, dtype=np.float64)
    ends = origin + quat_rotate(quaternion, np.eye(3) * AXIS_LENGTH)
    pixels, _ = camera.scaled(*image.size).project(np.vstack([origin, ends]))
    pen = ImageDraw.Draw(image)
    for end, colour in zip(pixels[1:], colours, strict=True):
        pen.line([tuple(pixels[0]), tuple(end)], fill=colour, width=width)
