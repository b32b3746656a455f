"""Cache of decoded, downsized images in a memory-mapped file, so that no epoch decodes JPEG."""

import contextlib
import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from opendactyl.core.atomic_files import json_hash
from opendactyl.core.errors import InputError, file_error
from opendactyl.core.optional_files import exists
from opendactyl.datasets.format.manifest import Manifest, load_manifest, read_samples
from opendactyl.geometry.rig import Rig

CACHE_VERSION = 5
"""Incremented when the content of the cache changes; older caches are rebuilt."""
PER_VIEW = ("landmarks", "anchors", "visible_fraction")
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
    landmarks: NDArray[np.float32]
    """True projections of the object's keypoints (N, V, K, 2), from 0 to 1 across the image."""
    anchors: NDArray[np.float32]
    """True projections of the static landmarks (N, V, M, 2), likewise."""
    visible_fraction: NDArray[np.float32]
    """(N, V)."""
    masks: NDArray[np.uint8] | None = None
    """Memory-mapped pixel classes (N, V, S, S), if the dataset stores them."""

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
        size, views = self.images.shape[2], self.images.shape[1]
        return open_dataset, (self.folder.absolute(), size, views, self.cache.absolute())


def open_dataset(
    folder: str | Path, image_size: int, views: int = 0, cache: Path | None = None
) -> CachedDataset:
    """Opens a dataset at an image size; decodes it into a cache if necessary.

    Args:
        folder: a dataset.
        image_size: width and height to resize to, at most the dataset's.
        views: number of the rig's first cameras to use; 0 uses all.
        cache: folder of the caches; by default `.cache` in the dataset's folder.

    Raises:
        InputError: the dataset is unfinished or damaged, has smaller images or fewer views, or the
            cache is not writable.
        EnvironmentFailure: the disk is full or failed.
    """
    folder = Path(folder)
    manifest = load_manifest(folder)
    rig = manifest.load_rig()
    _check_fits(folder, rig, image_size, views)
    shards = [shard.sha256 for shard in manifest.shards]
    landmarks = manifest.load_static_landmarks().tolist()
    key = json_hash([CACHE_VERSION, manifest.config_hash, shards, image_size, landmarks])[:16]
    root = folder / ".cache" if cache is None else cache
    decoded = root / f"{image_size}-{key}"
    if not exists(decoded / "labels.npz"):
        _build_once(folder, manifest, image_size, decoded)
    first = slice(views or None)
    with np.load(decoded / "labels.npz") as labels:
        return CachedDataset(
            folder=folder,
            cache=root,
            manifest=manifest,
            rig=Rig(rig.name, rig.resized(image_size).cameras[first]),
            images=np.load(decoded / "images.npy", mmap_mode="r")[:, first],
            masks=np.load(decoded / "masks.npy", mmap_mode="r")[:, first]
            if manifest.config.get("masks")
            else None,
            position=labels["position"],
            quaternion=labels["quaternion"],
            hinges=labels["hinges"],
            **{name: labels[name][:, first] for name in PER_VIEW},
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


def _build_once(folder: Path, manifest: Manifest, size: int, cache: Path) -> None:
    """Builds the cache in one of several processes; the others wait."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        # A soft lock would survive the death of its process.
        with FileLock(cache / ".lock", fallback_to_soft=False):
            if not exists(cache / "labels.npz"):
                _build(folder, manifest, size, cache)
    except OSError as error:
        with contextlib.suppress(OSError):
            for leftover in cache.glob("*.tmp*"):
                leftover.unlink(missing_ok=True)
        raise file_error(
            f"cannot decode {folder} into {cache}", error, "name a folder for it with --cache"
        ) from error


def _new_array(path: Path, shape: tuple[int, ...]) -> np.memmap:
    array = open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    # Reserve the space: on a full disk, a write to the map would kill the process by SIGBUS.
    with path.open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


def _build(folder: Path, manifest: Manifest, size: int, cache: Path) -> None:
    views, count = len(manifest.rig["cameras"]), manifest.num_samples
    shape = (count, views, size, size, 3)
    images = _new_array(cache / "images.tmp", shape)
    masks = _new_array(cache / "masks.tmp", shape[:-1]) if manifest.config.get("masks") else None
    articulation, symmetry = manifest.articulation, manifest.load_symmetry()
    static = manifest.load_static_landmarks()
    labels = {
        "position": np.zeros((count, 3), np.float32),
        "quaternion": np.zeros((count, 4), np.float32),
        "hinges": np.zeros((count, len(articulation.hinges)), np.float32),
        "landmarks": np.zeros((count, views, len(manifest.keypoints), 2), np.float32),
        "anchors": np.zeros((count, views, len(static), 2), np.float32),
        "visible_fraction": np.zeros((count, views), np.float32),
    }
    with tqdm(total=count, unit="sample", desc=f"decoding {folder}", leave=False) as bar:
        for shard in manifest.shards:
            for sample in read_samples(folder, manifest, shard):
                label, i = sample.label, sample.label.index
                if not symmetry.is_trivial:
                    quaternion = symmetry.canonical(label.quaternion)
                    label = dataclasses.replace(label, quaternion=quaternion)
                images[i] = _resized(sample.images, size, Image.Resampling.BOX)
                if masks is not None:
                    assert sample.masks is not None  # as `read_samples` has checked
                    masks[i] = _resized(sample.masks, size, Image.Resampling.NEAREST)
                labels["position"][i] = label.position
                labels["quaternion"][i] = label.quaternion
                labels["hinges"][i] = label.hinges
                labels["visible_fraction"][i] = label.visible_fraction
                labels["landmarks"][i] = np.nan_to_num(label.project(articulation.at(label.hinges)))
                labels["anchors"][i] = label.project_fixed(static)
                bar.update()
    for name, array in (("masks", masks), ("images", images)):
        if array is not None:
            array.flush()
            os.replace(cache / f"{name}.tmp", cache / f"{name}.npy")
    # The labels are written last: they mark a complete cache.
    np.savez(cache / "labels.tmp.npz", **labels)  # pyright: ignore[reportArgumentType]
    os.replace(cache / "labels.tmp.npz", cache / "labels.npz")


def _resized(
    images: NDArray[np.uint8], size: int, resampling: Image.Resampling
) -> NDArray[np.uint8]:
    if images.shape[1] == size:
        return images
    return np.stack(
        [np.asarray(Image.fromarray(view).resize((size, size), resampling)) for view in images]
    )
