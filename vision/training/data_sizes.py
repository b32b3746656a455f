"""What an estimator takes from its data: sizes of its images, priors of its positions."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from opendactyl.core.errors import InputError
from opendactyl.datasets.format.manifest import Manifest, load_manifest
from opendactyl.datasets.format.statistics import LabelStatistics
from opendactyl.datasets.loading.decoding import WindowSize
from opendactyl.models.pose.close_up import MARGIN, anchor_squares, crop_diameter
from opendactyl.models.pose.networks.two_stage import NOISE, REDUCTION
from opendactyl.models.pose.observations import project, projection_matrices
from opendactyl.models.pose.priors import FORMER, PosePriors
from opendactyl.vision.training.config import SAME_TOWER, VisionConfig

FRAME_SIZE, VIEW_SIZE = 288, 128
"""Default image sizes of estimators with two stages and with one, in pixels."""
SMALLEST_FRAME, FRAME_STEP = 192, 48
"""Frames of two stages: at least this size, in steps that both stages' towers divide."""
CROP_STEP, CROP_BOUNDS, CROP_SCALE = 16, (48, 160), 0.8
"""Crops: sizes in pixels, and pixels of the crop for one of the frame."""


def with_image_size(config: VisionConfig) -> VisionConfig:
    """Settings whose image size is chosen by the data where it is zero.

    Raises:
        InputError: the datasets cannot be read.
    """
    if config.image_size:
        return config
    folders = (*config.data, config.val_data)
    native = min(camera["width"] for folder in folders for camera in _cameras(folder))
    single = config.coarse or config.model not in SAME_TOWER
    size = FRAME_SIZE if native >= FRAME_SIZE and not single else min(native, VIEW_SIZE)
    return dataclasses.replace(config, image_size=size)


def _cameras(folder: Path) -> list[dict[str, int]]:
    return load_manifest(folder).rig["cameras"]


def has_two_stages(config: VisionConfig) -> bool:
    """Whether the settings, with an image size, describe an estimator with a second stage."""
    size = config.image_size
    suits = size >= SMALLEST_FRAME and size % FRAME_STEP == 0
    return suits and not config.coarse and config.model in SAME_TOWER


def view_size(config: VisionConfig) -> int:
    """The size of the whole views that the first stage, or the only one, observes."""
    return config.image_size // (REDUCTION if has_two_stages(config) else 1)


def window_size(config: VisionConfig) -> WindowSize | None:
    """The size of the windows in which crops are cut in training; None without a second stage."""
    if not has_two_stages(config):
        return None
    manifests = [load_manifest(folder) for folder in (*config.data, config.val_data)]
    pixels = config.image_size * max(far for _, far in _crop_sides(manifests)) * (1 + 4 * NOISE)
    side = min(8 * int(np.ceil(pixels / 8)), config.image_size)
    squares = _anchor_squares(manifests[0], config.image_size)
    size = crop_size(config, manifests[:-1]) if squares else 0
    return WindowSize(config.image_size, side, squares, size)


def _anchor_squares(manifest: Manifest, size: int) -> tuple[tuple[float, float, float], ...]:
    """Centre and side of the crop around the anchors of each camera; none without anchors."""
    anchors = torch.tensor(manifest.load_static_landmarks(), dtype=torch.float32)
    if not len(anchors):
        return ()
    rig = manifest.load_rig().resized(size)
    intrinsics, extrinsics = (
        torch.tensor(m, dtype=torch.float32) for m in (rig.intrinsics, rig.extrinsics)
    )
    nominal, _ = project(anchors[None], projection_matrices(intrinsics, extrinsics, size))
    crops = anchor_squares(nominal[0])
    squares = torch.cat([crops.centre[0], crops.side[0][:, None]], dim=-1).tolist()
    return tuple((x, y, side) for x, y, side in squares)


def crop_size(config: VisionConfig, manifests: Sequence[Manifest]) -> int:
    """The size of the crops in pixels, in which the object is nearly as large as in the frames."""
    if not has_two_stages(config):
        return 0
    mean = max(np.mean(sides) for sides in _crop_sides(manifests))
    steps = round(CROP_SCALE * config.image_size * float(mean) / CROP_STEP)
    return int(np.clip(steps * CROP_STEP, *CROP_BOUNDS))


def _crop_sides(manifests: Sequence[Manifest]) -> list[tuple[float, float]]:
    """The smallest and the largest side of a crop, for each camera, as fractions of the view."""
    found = _pooled(manifests)
    if found is None:
        raise InputError(
            "a dataset of an earlier version does not state how far away the object is; make it "
            "again, or train one stage with --coarse"
        )
    diameter = MARGIN * crop_diameter(np.array(manifests[0].keypoints))
    rig = manifests[0].load_rig()
    focal = {camera.name: camera.K[0, 0] / camera.width for camera in rig.cameras}
    return [
        (diameter * focal[name] / far, diameter * focal[name] / max(near, 1e-3))
        for name, (near, far) in found.depth.items()
    ]


def priors_of(manifests: Sequence[Manifest]) -> PosePriors:
    """The priors of datasets that are used together.

    If one of them was made by a version that stored no statistics, they are the constants of that
    version.
    """
    found = _pooled(manifests)
    if found is None:
        return FORMER
    return PosePriors.of(
        found.position_mean,
        found.position_std,
        list(found.depth.values()),
        manifests[0].keypoints,
    )


def _pooled(manifests: Sequence[Manifest]) -> LabelStatistics | None:
    """The statistics of datasets together; None if an earlier version made one of them."""
    found = [manifest.statistics for manifest in manifests if manifest.statistics]
    return LabelStatistics.pooled(found) if len(found) == len(manifests) else None
