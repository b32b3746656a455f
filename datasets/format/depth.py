"""Depth images: 16-bit steps along the optical axis, and their agreement with the label."""

import numpy as np
from numpy.typing import NDArray

from opendactyl.datasets.format.label import Label

DEPTH_SCALE = 1e-4
"""Metres per step: a tenth of a millimetre, up to 6.5 m."""
MIN_VISIBLE = 0.1
"""Visible fraction from which the object has to be found in a depth image."""
MARGIN = 0.002
"""Allowed distance of the object's surface from the ball around its keypoints, in metres."""


def depth_image(metres: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Depth (..., H, W) in steps of `DEPTH_SCALE`; 0 where it is beyond the largest number."""
    steps = np.round(metres.astype(np.float64) / DEPTH_SCALE)
    return np.where(steps <= np.iinfo(np.uint16).max, steps, 0).astype(np.uint16)


def check_depth(depth: NDArray[np.uint16], label: Label, keypoints: NDArray[np.float64]) -> None:
    """Raises a `ValueError` unless depth images show the object where the label has it.

    Args:
        depth: the images (V, H, W).
        label: the sample's label, which has a scale.
        keypoints: the object's keypoints (K, 3) in the object frame, at the angles of its hinges.
    """
    radius = np.linalg.norm(keypoints, axis=1).max() + MARGIN
    for view, camera in enumerate(label.true_cameras):
        centre = float(camera.project(label.position)[1])
        low = np.floor(label.corners[view].min(axis=0)).astype(int).clip(0)
        high = np.ceil(label.corners[view].max(axis=0)).astype(int).clip(0)
        box = depth[view, low[1] : high[1], low[0] : high[0]] * (label.depth_scale or 0.0)
        shown = label.visible_fraction[view] >= MIN_VISIBLE
        if shown and not np.any(np.abs(box - centre) <= radius):
            raise ValueError(
                f"the depth image of camera {camera.name} has nothing within {radius:.3f} m of the "
                f"object at {centre:.3f} m"
            )
