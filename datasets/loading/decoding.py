"""Decoding of a dataset into memory-mapped files: views, and windows around the object."""

import contextlib
import dataclasses
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from filelock import FileLock
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from opendactyl.core.errors import file_error
from opendactyl.core.optional_files import exists
from opendactyl.core.run_dir import Forecast
from opendactyl.datasets.format.manifest import Manifest, read_samples
from opendactyl.datasets.format.shards import Sample
from opendactyl.geometry.torch_ops.crops import cut_squares

IMAGES = ("images", "masks", "windows", "window_masks", "anchor_crops", "anchor_masks")
"""Arrays that are memory-mapped: of the views, the windows, and the crops around anchors."""
MASKS = {"images": "masks", "windows": "window_masks", "anchor_crops": "anchor_masks"}
"""The array of the masks that belong to each array of images."""


class WindowSize(NamedTuple):
    """Windows of frames around the object, which are cached beside whole, smaller views."""

    frame: int
    """Width and height of the frames in pixels."""
    side: int
    """Width and height of the windows in the same pixels."""
    anchor_squares: tuple[tuple[float, float, float], ...] = ()
    """Squares around the anchors, the same for all samples: centre and side for each camera, 0 to 1
    across the frame."""
    anchor_size: int = 0
    """Width and height of the crops of these squares in pixels."""


def build_once(
    folder: Path, manifest: Manifest, size: int, windows: WindowSize | None, cache: Path
) -> None:
    """Builds the cache in one of several processes; the others wait."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        # A soft lock would survive the death of its process.
        with FileLock(cache / ".lock", fallback_to_soft=False):
            if not exists(cache / "labels.npz"):
                try:
                    _build(folder, manifest, size, windows, cache)
                except BaseException:  # their space is reserved, whatever ended it
                    with contextlib.suppress(OSError):
                        for leftover in cache.glob("*.tmp*"):
                            leftover.unlink(missing_ok=True)
                    raise
    except OSError as error:
        raise file_error(
            f"cannot decode {folder} into {cache}", error, "name a folder for it with --cache"
        ) from error


def _new_array(path: Path, shape: tuple[int, ...]) -> np.memmap:
    array = open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    # Reserve the space: on a full disk, a write to the map would kill the process by SIGBUS.
    with path.open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


def _build(
    folder: Path, manifest: Manifest, size: int, windows: WindowSize | None, cache: Path
) -> None:
    shape = (manifest.num_samples, len(manifest.rig["cameras"]))
    sides = {"images": size} | ({"windows": windows.side} if windows else {})
    sides |= {"anchor_crops": windows.anchor_size} if windows and windows.anchor_squares else {}
    arrays = {n: _new_array(cache / f"{n}.tmp", (*shape, s, s, 3)) for n, s in sides.items()}
    if manifest.config.get("masks"):
        arrays |= {MASKS[n]: _new_array(cache / f"{MASKS[n]}.tmp", (*shape, s, s))
                   for n, s in sides.items()}  # fmt: skip
    labels: dict[str, list[Any]] = {}
    size_of_all = sum(array.nbytes for array in arrays.values())
    forecast = Forecast(cache, shape[0], written=size_of_all, reserved=True)
    with tqdm(total=shape[0], unit="sample", desc=f"decoding {folder}", leave=False) as bar:
        for shard in manifest.shards:
            for sample in read_samples(folder, manifest, shard):
                values = _labels(sample, manifest)
                pixels = {"images": sample.images, "masks": sample.masks}
                for name, views in views_and_windows(pixels, values, size, windows).items():
                    arrays[name][sample.label.index] = views
                for name, value in values.items():
                    labels.setdefault(name, []).append(value)
                bar.update()
                forecast.update(bar.n)
    for name, array in arrays.items():
        array.flush()
        os.replace(cache / f"{name}.tmp", cache / f"{name}.npy")
    # The labels are written last: they mark a complete cache.
    stacked: dict[str, Any] = {n: np.array(values, np.float32) for n, values in labels.items()}
    np.savez(cache / "labels.tmp.npz", **stacked)
    os.replace(cache / "labels.tmp.npz", cache / "labels.npz")


def _labels(sample: Sample, manifest: Manifest) -> dict[str, NDArray[np.floating[Any]]]:
    """The cached labels of a sample."""
    label, symmetry = sample.label, manifest.load_symmetry()
    if not symmetry.is_trivial:
        label = dataclasses.replace(label, quaternion=symmetry.canonical(label.quaternion))
    points = manifest.articulation.at(label.hinges)
    return {
        "position": label.position,
        "quaternion": label.quaternion,
        "hinges": label.hinges,
        "visible_fraction": label.visible_fraction,
        "keypoints": np.nan_to_num(label.project(points)),
        "anchors": label.project_fixed(manifest.load_static_landmarks()),
    }


def views_and_windows(
    found: dict[str, NDArray[np.uint8] | None],
    labels: dict[str, NDArray[np.floating[Any]]],
    size: int,
    windows: WindowSize | None,
) -> dict[str, NDArray[np.uint8]]:
    """The images and masks of a sample that training needs.

    Args:
        found: `images` and `masks` of the sample (V, H, W, ...), if it has them.
        labels: those of the sample, of which `keypoints` is needed; `window_corners` is added.
        size: width and height of the views.
        windows: the windows to cut; None: none.
    """
    pixels: dict[str, NDArray[np.uint8]] = {}
    if windows is not None:
        free = windows.frame - windows.side
        middle = labels["keypoints"].mean(axis=1) * windows.frame  # (V, 2)
        corners = np.clip(np.rint(middle - windows.side / 2), 0, free).astype(int)
        labels["window_corners"] = (corners / windows.frame).astype(np.float32)
    names = {"images": dict(zip(MASKS, MASKS, strict=True)), "masks": MASKS}
    for kind, views in found.items():
        if views is None:
            continue
        name, images = names[kind], kind == "images"
        method = Image.Resampling.BOX if images else Image.Resampling.NEAREST
        pixels[kind] = resized(views, size, method)
        if windows is None:
            continue
        frames = resized(views, windows.frame, method)
        cut = [f[y : y + windows.side, x : x + windows.side]
               for f, (x, y) in zip(frames, corners, strict=True)]  # fmt: skip
        pixels[name["windows"]] = np.stack(cut)
        if windows.anchor_squares:
            mode = "bilinear" if images else "nearest"
            pixels[name["anchor_crops"]] = _anchor_crops(frames, windows, mode)
    return pixels


def _anchor_crops(frames: NDArray[np.uint8], windows: WindowSize, mode: str) -> NDArray[np.uint8]:
    """The crops around the anchors (V, C, C, ...) of frames (V, F, F, ...)."""
    channels = torch.from_numpy(frames.reshape(*frames.shape[:3], -1))
    squares = torch.tensor(windows.anchor_squares[: len(frames)])
    images = channels.permute(0, 3, 1, 2).float()
    crops = cut_squares(images, squares[:, :2], squares[:, 2], windows.anchor_size, mode)
    found = crops.round().byte().permute(0, 2, 3, 1).numpy()
    return found.reshape(*found.shape[:3], *frames.shape[3:])


def resized(
    images: NDArray[np.uint8], size: int, resampling: Image.Resampling = Image.Resampling.BOX
) -> NDArray[np.uint8]:
    """Images (V, H, W, ...) as images (V, size, size, ...)."""
    if images.shape[1] == size:
        return images
    if images.shape[1] < size and resampling == Image.Resampling.BOX:
        resampling = Image.Resampling.BILINEAR
    return np.stack(
        [np.asarray(Image.fromarray(view).resize((size, size), resampling)) for view in images]
    )
