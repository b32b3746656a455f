"""Letters as straight strokes, so that a face's letter is a few thin boxes in any renderer.

A stroke is a line from (x0, y0) to (x1, y1) in a square from -1 to 1, x to the right, y up.
"""

import numpy as np
from numpy.typing import NDArray

Stroke = tuple[float, float, float, float]

STROKES: dict[str, tuple[Stroke, ...]] = {
    "A": ((-0.7, -1, 0, 1), (0, 1, 0.7, -1), (-0.42, -0.25, 0.42, -0.25)),
    "E": ((-0.6, -1, -0.6, 1), (-0.6, 1, 0.6, 1), (-0.6, 0, 0.4, 0), (-0.6, -1, 0.6, -1)),
    "F": ((-0.6, -1, -0.6, 1), (-0.6, 1, 0.6, 1), (-0.6, 0, 0.4, 0)),
    "H": ((-0.6, -1, -0.6, 1), (0.6, -1, 0.6, 1), (-0.6, 0.2, 0.6, 0.2)),
    # A serif at the top alone: a bare bar would look the same upside down.
    "I": ((0, -1, 0, 1), (-0.5, 1, 0.5, 1)),
    "L": ((-0.5, -1, -0.5, 1), (-0.5, -1, 0.6, -1)),
    # Diagonal and one short post: a plain N would look the same upside down.
    "N": ((-0.6, -1, -0.6, 1), (-0.6, 1, 0.6, -1), (0.6, -1, 0.6, 0.45)),
    # Open at the lower right, where a plain O would have symmetries.
    "O": ((-0.65, -1, -0.65, 1), (-0.65, 1, 0.65, 1), (0.65, 1, 0.65, -0.3), (-0.65, -1, 0.2, -1)),
    "P": ((-0.6, -1, -0.6, 1), (-0.6, 1, 0.5, 1), (0.5, 1, 0.5, 0), (0.5, 0, -0.6, 0)),
    "T": ((0, -1, 0, 1), (-0.7, 1, 0.7, 1)),
}
"""The strokes of each letter; no letter looks the same after a turn."""

HEIGHT = 0.6
"""Half the letter's height as a share of the face's smaller half size."""
WIDTH = 0.13
"""Half a stroke's width, as the same share."""


def letter_boxes(letter: str, half_size: tuple[float, float]) -> NDArray[np.float64]:
    """The boxes that write `letter` on a face.

    Args:
        letter: a key of `STROKES`.
        half_size: half the face's width and height, in metres.

    Returns:
        (S, 5): centre x, centre y, half length, half width in metres and the angle of the long
        side from x in radians, in the face's frame.
    """
    scale = min(half_size)
    strokes = np.array(STROKES[letter]) * HEIGHT * scale
    start, end = strokes[:, :2], strokes[:, 2:]
    centre, along = (start + end) / 2, end - start
    width = WIDTH * scale
    half_length = np.linalg.norm(along, axis=1) / 2 + width
    angle = np.arctan2(along[:, 1], along[:, 0])
    return np.column_stack([centre, half_length, np.full(len(strokes), width), angle])
