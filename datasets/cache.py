"""Decoded, downsized images in one memory-mapped file, so that training never waits for JPEG."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from opendactyl.datasets.manifest import Manifest, load_manifest, read_samples
from opendactyl.files.atomic import json_hash
from opendactyl.files.errors import InputError
from opendactyl.geometry.anchors import ANCHORS
from opendactyl.geometry.rig import Rig

CACHE_VERSION = 2
"""Raised when a cache holds something else than before; older ones are made again."""


@dataclass(frozen=True, eq=False)
class CachedDataset:
    """A dataset's samples as arrays; N samples, V views."""

    manifest: Manifest
    rig: Rig
    """The nominal cameras at the cached image size."""
    images: NDArray[np.uint8]
    """Memory-mapped (N, V, S, S, 3)."""
    position: NDArray[np.float32]
    """(N, 3)."""
    quaternion: NDArray[np.float32]
    """(N, 4)."""
    landmarks: NDArray[np.float32]
    """True projections of the object's keypoints (N, V, K, 2), from 0 to 1 across the image."""
    anchors: NDArray[np.float32]
    """True projections of `ANCHORS`, which are fixed to the mount, likewise (N, V, M, 2)."""
    visible_fraction: NDArray[np.float32]
    """(N, V)."""
    masks: NDArray[np.uint8] | None = None
    """Memory-mapped classes of the pixels (N, V, S, S), where the dataset stores them."""

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.images)


def open_dataset(folder: str | Path, image_size: int) -> CachedDataset:
    """Opens a dataset at an image size, decoding it once into its `.cache` folder.

    Args:
        folder: a dataset.
        image_size: width and height to resize to, at most the dataset's.

    Raises:
        InputError: the dataset is unfinished or damaged, or the size is larger than its images.
    """
    folder = Path(folder)
    manifest = load_manifest(folder)
    native = manifest.load_rig().cameras[0].width
    if not 8 <= image_size <= native:
        raise InputError(
            f"the images of {folder} are {native} pixels wide and cannot be used at {image_size}; "
            f"choose --image-size from 8 to {native}"
        )
    shards = [shard.sha256 for shard in manifest.shards]
    key = json_hash([CACHE_VERSION, manifest.config_hash, shards, image_size])[:16]
    cache = folder / ".cache" / f"{image_size}-{key}"
    if not (cache / "labels.npz").exists():
        _build(folder, manifest, image_size, cache)
    with np.load(cache / "labels.npz") as labels:
        return CachedDataset(
            manifest=manifest,
            rig=manifest.load_rig().resized(image_size),
            images=np.load(cache / "images.npy", mmap_mode="r"),
            masks=np.load(cache / "masks.npy", mmap_mode="r")
            if manifest.config.get("masks")
            else None,
            **{name: labels[name] for name in labels.files},
        )


def _build(folder: Path, manifest: Manifest, size: int, cache: Path) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    views, count = len(manifest.rig["cameras"]), manifest.num_samples
    temporary = cache / f"images.{os.getpid()}.tmp"
    shape = (count, views, size, size, 3)
    images = open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
    masks = None
    if manifest.config.get("masks"):
        name = cache / f"masks.{os.getpid()}.tmp"
        masks = open_memmap(name, mode="w+", dtype=np.uint8, shape=shape[:-1])
    keypoints = np.array(manifest.keypoints)
    labels = {
        "position": np.zeros((count, 3), np.float32),
        "quaternion": np.zeros((count, 4), np.float32),
        "landmarks": np.zeros((count, views, len(keypoints), 2), np.float32),
        "anchors": np.zeros((count, views, len(ANCHORS), 2), np.float32),
        "visible_fraction": np.zeros((count, views), np.float32),
    }
    with tqdm(total=count, unit="sample", desc=f"decoding {folder}", leave=False) as bar:
        for shard in manifest.shards:
            for sample in read_samples(folder, manifest, shard):
                label, i = sample.label, sample.label.index
                images[i] = _resized(sample.images, size, Image.Resampling.BOX)
                if masks is not None:
                    if sample.masks is None:
                        raise InputError(f"sample {i} of {folder} has no masks; make it again")
                    masks[i] = _resized(sample.masks, size, Image.Resampling.NEAREST)
                labels["position"][i] = label.position
                labels["quaternion"][i] = label.quaternion
                labels["visible_fraction"][i] = label.visible_fraction
                labels["landmarks"][i] = label.project(keypoints)
                labels["anchors"][i] = label.project_fixed(ANCHORS)
                bar.update()
    if masks is not None:
        masks.flush()
        os.replace(cache / f"masks.{os.getpid()}.tmp", cache / "masks.npy")
    images.flush()
    del images, masks
    os.replace(temporary, cache / "images.npy")
    # The labels come last: where they are, the images are complete.
    partial = cache / f"labels.{os.getpid()}.tmp.npz"
    np.savez(partial, **labels)  # pyright: ignore[reportArgumentType]
    os.replace(partial, cache / "labels.npz")


def _resized(
    images: NDArray[np.uint8], size: int, filtering: Image.Resampling
) -> NDArray[np.uint8]:
    if images.shape[1] == size:
        return images
    return np.stack(
        [np.asarray(Image.fromarray(view).resize((size, size), filtering)) for view in images]
    )
