"""Pictures of estimates: true and estimated axes drawn into the views."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from opendactyl.geometry.drawing import draw_pose
from opendactyl.vision.measures.foreign import ForeignDataset
from opendactyl.vision.measures.predictions import Data, Predictions

ZOOM = 2


def draw_worst(p: Predictions, data: Data, count: int) -> NDArray[np.uint8]:
    """The samples with the largest rotation errors, two samples per row."""
    return draw_samples(p, data, np.argsort(-p.rotation_error_deg)[:count])


def draw_samples(
    p: Predictions, data: Data, indices: Iterable[int | np.integer]
) -> NDArray[np.uint8]:
    """Samples by index, all views, two samples per row: true axes thin, estimated axes thick."""
    tiles = [_tile(p, data, int(index)) for index in indices]
    if len(tiles) % 2:
        tiles.append(np.zeros_like(tiles[0]))
    rows = [np.concatenate(pair, axis=1) for pair in zip(tiles[::2], tiles[1::2], strict=True)]
    return np.concatenate(rows, axis=0)


def _tile(p: Predictions, data: Data, index: int) -> NDArray[np.uint8]:
    if isinstance(data, ForeignDataset):
        rig, images = data.rigs[index], data.views(index)
    else:
        rig, images = data.rig, data.images[index]
    views = []
    for camera, pixels in zip(rig.cameras, images, strict=True):
        size = (camera.width * ZOOM, camera.height * ZOOM)
        image = Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)
        truth = (p.true_position[index], p.true_quaternion[index])
        draw_pose(image, camera, *truth)
        draw_pose(image, camera, p.position[index], p.quaternion[index], width=3)
        views.append(np.asarray(image))
    text = f"{p.rotation_error_deg[index]:.1f} deg, {p.position_error_mm[index]:.1f} mm"
    labelled = Image.fromarray(np.concatenate(views, axis=1))
    ImageDraw.Draw(labelled).text((4, 2), text, fill=(255, 255, 255))
    return np.asarray(labelled)
