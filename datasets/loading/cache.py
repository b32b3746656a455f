"""Cache of decoded, downsized images in memory-mapped files, so that no epoch decodes JPEG."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opendactyl.core.atomic_files import json_hash
from opendactyl.core.errors import InputError
from opendactyl.core.optional_files import exists
from opendactyl.datasets.format.manifest import (
    Manifest,
    iterate_samples,
    load_manifest,
)
from opendactyl.datasets.loading.decoding import IMAGES, WindowSize, build_once, resized
from opendactyl.geometry.rig import Rig

CACHE_VERSION = 7
"""Incremented when the content of the cache changes; older caches are rebuilt."""
PER_VIEW = ("keypoints", "anchors", "visible_fraction", "window_corners")
"""Labels with a view axis."""


@dataclass(frozen=True, eq=False)
class CachedDataset:
    """A dataset's samples as arrays: N samples, V views.

    It pickles as its folder and is reopened in the receiving process: a memory map would pickle as
    a copy of all images.
    """

    folder: Path
    cache: Path
    """Folder of the caches."""
    manifest: Manifest
    rig: Rig
    """The nominal cameras at the cached image size."""
    images: NDArray[np.uint8]
    """Memory-mapped (N, V, S, S, 3)."""
    position: NDArray[np.float32]
    """(N, 3)."""
    quaternion: NDArray[np.float32]
    """(N, 4)."""
    hinges: NDArray[np.float32]
    """Angles of the object's hinges (N, H)."""
    keypoints: NDArray[np.float32]
    """True projections of the object's keypoints (N, V, K, 2), from 0 to 1 across the image."""
    anchors: NDArray[np.float32]
    """True projections of the static landmarks (N, V, M, 2), likewise."""
    visible_fraction: NDArray[np.float32]
    """(N, V)."""
    masks: NDArray[np.uint8] | None = None
    """Memory-mapped pixel classes (N, V, S, S), if the dataset stores them."""
    window_size: WindowSize | None = None
    windows: NDArray[np.uint8] | None = None
    """Memory-mapped windows (N, V, W, W, 3) of the frames."""
    window_masks: NDArray[np.uint8] | None = None
    """Their pixel classes (N, V, W, W)."""
    window_corners: NDArray[np.float32] | None = None
    """Left and upper borders of the windows (N, V, 2), from 0 to 1 across the frame."""
    anchor_crops: NDArray[np.uint8] | None = None
    """Memory-mapped crops around the anchors (N, V, C, C, 3)."""
    anchor_masks: NDArray[np.uint8] | None = None
    """Their pixel classes (N, V, C, C)."""

    @property
    def raw_rig(self) -> Rig | None:
        """The cameras of raw frames, if the images show regions of interest of them."""
        raw = self.manifest.load_raw_rig()
        return None if raw is None else Rig(raw.name, raw.cameras[: len(self.rig.cameras)])

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.images)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles the arguments of `open_dataset`."""
        views, size = self.images.shape[1:3]
        folder, cache = self.folder.absolute(), self.cache.absolute()
        return open_dataset, (folder, size, views, cache, self.window_size)

    def frames(self, size: int, count: int) -> Iterator[NDArray[np.uint8]]:
        """Decodes the frames (V, size, size, 3) of the first samples, in order."""
        views = len(self.rig.cameras)
        for sample in itertools.islice(iterate_samples(self.folder), count):
            yield resized(sample.images[:views], size)


def open_dataset(
    folder: str | Path,
    image_size: int,
    views: int = 0,
    cache: Path | None = None,
    windows: WindowSize | None = None,
    *,
    enlarge: bool = False,
) -> CachedDataset:
    """Opens a dataset at an image size; decodes it into a cache if necessary.

    Args:
        folder: a dataset.
        image_size: width and height to resize to.
        views: number of the rig's first cameras to use; 0 uses all.
        cache: folder of the caches; by default `.cache` in the dataset's folder.
        windows: also cut windows of this size around the object.
        enlarge: whether the dataset's images may be smaller.

    Raises:
        InputError: the dataset is unfinished or damaged, has smaller images or fewer views, or the
            cache is not writable.
        EnvironmentFailure: the disk is full or failed.
    """
    folder = Path(folder)
    manifest = load_manifest(folder)
    rig = manifest.load_rig()
    size = windows.frame if windows else image_size
    _check_fits(folder, rig, size if not enlarge else min(size, rig.cameras[0].width), views)
    shards = [shard.sha256 for shard in manifest.shards]
    landmarks = manifest.load_static_landmarks().tolist()
    content = [CACHE_VERSION, manifest.config_hash, shards, image_size, landmarks, windows]
    root = folder / ".cache" if cache is None else cache
    decoded = root / f"{image_size}-{json_hash(content)[:16]}"
    if not exists(decoded / "labels.npz"):
        build_once(folder, manifest, image_size, windows, decoded)
    first = slice(views or None)
    arrays = {name: np.load(path, mmap_mode="r")[:, first]
              for name in IMAGES if exists(path := decoded / f"{name}.npy")}  # fmt: skip
    with np.load(decoded / "labels.npz") as labels:
        return CachedDataset(
            folder=folder,
            cache=root,
            manifest=manifest,
            rig=Rig(rig.name, rig.resized(image_size).cameras[first]),
            window_size=windows,
            **arrays,
            **{name: labels[name] for name in ("position", "quaternion", "hinges")},
            **{name: labels[name][:, first] for name in labels if name in PER_VIEW},
        )


def _check_fits(folder: Path, rig: Rig, image_size: int, views: int) -> None:
    """Raises an `InputError` if the dataset has too few views or pixels."""
    native = rig.cameras[0].width
    if views > len(rig.cameras):
        raise InputError(
            f"{folder} has {len(rig.cameras)} cameras ({', '.join(rig.names)}), not {views}"
        )
    if not 8 <= image_size <= native:
        raise InputError(
            f"the images of {folder} are {native} pixels wide and cannot be used at {image_size}; "
            f"choose --image-size from 8 to {native}"
        )
