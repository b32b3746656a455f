"""Contact sheets: stored samples with the label drawn on them."""

import io
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from opendactyl.core.atomic_files import write_bytes
from opendactyl.core.errors import InputError
from opendactyl.datasets.format.manifest import iterate_samples
from opendactyl.datasets.format.shards import Sample
from opendactyl.geometry.drawing import draw_pose


def write_contact_sheet(folder: Path, out: Path, count: int, *, augment: bool = False) -> Path:
    """Draws the first `count` samples of a dataset, one row of views each.

    Args:
        folder: the dataset.
        out: the PNG to write.
        count: number of samples.
        augment: apply the augmentation of training to the images.

    Raises:
        InputError: the dataset is unfinished or damaged, or `count` is not positive.
    """
    if count < 1:
        raise InputError(f"--samples is {count}; it must be at least 1")
    rows = [_row(sample, augment) for sample in islice(iterate_samples(folder), count)]
    buffer = io.BytesIO()
    Image.fromarray(np.concatenate(rows, axis=0)).save(buffer, "PNG")
    write_bytes(out, buffer.getvalue())
    return out


def _row(sample: Sample, augment: bool) -> NDArray[np.uint8]:
    images, label = sample.images, sample.label
    if augment:
        # Imported here because albumentations takes a second to import.
        from opendactyl.datasets.loading.augmentation import Augmentation
        from opendactyl.datasets.loading.augmentation_config import AugmentConfig

        images = Augmentation(AugmentConfig())(
            images, np.random.default_rng(label.index), sample.masks
        )
    views = []
    for camera, image, visible in zip(
        label.true_cameras, images, label.visible_fraction, strict=True
    ):
        picture = Image.fromarray(image)
        draw_pose(picture, camera, label.position, label.quaternion)
        angles = "".join(f" {np.rad2deg(angle):.0f}°" for angle in label.hinges)
        text = f"{label.index} {camera.name} {visible:.0%}{angles}"
        ImageDraw.Draw(picture).text((3, 1), text, fill=(255, 255, 255))
        views.append(np.asarray(picture))
    return np.concatenate(views, axis=1)
