"""Letters as straight strokes, which any renderer draws as thin boxes.

A stroke is a line from (x0, y0) to (x1, y1) in the square [-1, 1]², x to the right, y up.
"""

import numpy as np
from numpy.typing import NDArray

Stroke = tuple[float, float, float, float]

STROKES: dict[str, tuple[Stroke, ...]] = {
    "A": ((-0.7, -1, 0, 1), (0, 1, 0.7, -1), (-0.42, -0.25, 0.42, -0.25)),
    "E": ((-0.6, -1, -0.6, 1), (-0.6, 1, 0.6, 1), (-0.6, 0, 0.4, 0), (-0.6, -1, 0.6, -1)),
    "F": ((-0.6, -1, -0.6, 1), (-0.6, 1, 0.6, 1), (-0.6, 0, 0.4, 0)),
    "H": ((-0.6, -1, -0.6, 1), (0.6, -1, 0.6, 1), (-0.6, 0.2, 0.6, 0.2)),
    # A serif at the top only: a bar alone is symmetric.
    "I": ((0, -1, 0, 1), (-0.5, 1, 0.5, 1)),
    "L": ((-0.5, -1, -0.5, 1), (-0.5, -1, 0.6, -1)),
    # With a shortened right post: an N is symmetric under a rotation by 180 degrees.
    "N": ((-0.6, -1, -0.6, 1), (-0.6, 1, 0.6, -1), (0.6, -1, 0.6, 0.45)),
    # Open at the lower right: an O is symmetric.
    "O": ((-0.65, -1, -0.65, 1), (-0.65, 1, 0.65, 1), (0.65, 1, 0.65, -0.3), (-0.65, -1, 0.2, -1)),
    "P": ((-0.6, -1, -0.6, 1), (-0.6, 1, 0.5, 1), (0.5, 1, 0.5, 0), (0.5, 0, -0.6, 0)),
    "T": ((0, -1, 0, 1), (-0.7, 1, 0.7, 1)),
}
"""Strokes of each letter. No letter has a rotational symmetry."""

HEIGHT = 0.6
"""Half the height of a letter relative to the smaller half size of its face."""
WIDTH = 0.13
"""Half the width of a stroke, relative to the same."""


def letter_boxes(letter: str, half_size: tuple[float, float]) -> NDArray[np.float64]:
    """The boxes that form `letter` on a face.

    Args:
        letter: a key of `STROKES`.
        half_size: half the width and height of the face, in metres.

    Returns:
        (S, 5): centre x, centre y, half length and half width in metres, and the angle from the x
        axis to the long side in radians, in the face frame.
    """
    scale = min(half_size)
    strokes = np.array(STROKES[letter]) * HEIGHT * scale
    start, end = strokes[:, :2], strokes[:, 2:]
    centre, along = (start + end) / 2, end - start
    width = WIDTH * scale
    half_length = np.linalg.norm(along, axis=1) / 2 + width
    angle = np.arctan2(along[:, 1], along[:, 0])
    return np.column_stack([centre, half_length, np.full(len(strokes), width), angle])
