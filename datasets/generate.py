"""Dataset generation: shards made by worker processes, the same bytes whatever their number."""

import fcntl
import importlib.metadata
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from opendactyl.datasets.label import Label
from opendactyl.datasets.manifest import MANIFEST_NAME, Manifest, Shard, write_manifest
from opendactyl.datasets.shards import Sample, shard_name, write_shard
from opendactyl.datasets.states import (
    APPEARANCE_STREAM,
    StateSource,
    sample_rng,
    state_source,
)
from opendactyl.files.atomic import json_hash, sha256
from opendactyl.files.errors import InputError
from opendactyl.files.runs import new_folder, open_run, to_plain
from opendactyl.geometry.rig import load_rig
from opendactyl.geometry.rigid import pose_matrix, transform_points
from opendactyl.render.appearance import load_appearance
from opendactyl.render.draw import sample_appearance
from opendactyl.render.renderer import RENDERERS, Renderer, make_renderer
from opendactyl.sim.objects import object_spec

MAX_RESTARTS = 20
"""Worker processes that die are replaced this often before the run gives up."""


@dataclass(frozen=True, kw_only=True)
class DatasetConfig:
    """Settings of a dataset."""

    out: Path = Path("data/train")
    """Folder to write to."""
    num_samples: int = 20_000
    """Number of samples."""
    seed: int = 0
    """Seed; sample i depends on the seed and i, and on nothing else."""
    workers: int = 0
    """Worker processes; 0 is one per core."""
    renderer: str = "classic"
    """`classic` or `filament`."""
    states: str = "settled"
    """Where states come from: settled, random, or policy:BUNDLE."""
    appearance: str = "dactyl"
    """Appearance preset (dactyl, calibrated, wide) or a TOML file."""
    rig: str = "dactyl"
    """Camera rig: a shipped one by name, or a TOML file."""
    object: str = "block"
    """The object in the hand: block or prism."""
    image_size: int = 200
    """Width and height of the images in pixels."""
    shard_size: int = 250
    """Samples in a shard, at most 1,000."""
    jpeg_quality: int = 95
    """JPEG quality of the images."""
    resume: bool = False
    """Continue an interrupted dataset, or start what is not there yet."""

    def check(self) -> None:
        """Raises an `InputError` for settings that no dataset can have."""
        bounds = {
            "num_samples": (1, 10**9),
            "seed": (0, 2**63 - 1),
            "workers": (0, 1024),
            "image_size": (16, 4096),
            "shard_size": (1, 1000),
            "jpeg_quality": (1, 100),
        }
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if not low <= value <= high:
                option = name.replace("_", "-")
                raise InputError(f"--{option} is {value}; it must be from {low} to {high}")
        if self.renderer not in RENDERERS:
            raise InputError(f"no renderer {self.renderer!r}; choose {' or '.join(RENDERERS)}")

    def content(self) -> dict[str, Any]:
        """The settings that decide the samples' bytes, resolved."""
        plain = to_plain(self)
        for name in ("out", "workers", "resume"):
            del plain[name]
        plain["appearance"] = to_plain(load_appearance(self.appearance))
        plain["rig"] = load_rig(self.rig).resized(self.image_size).to_dict()
        return plain

    @property
    def shard_count(self) -> int:
        """Number of shards."""
        return -(-self.num_samples // self.shard_size)

    def bounds(self, number: int) -> tuple[int, int]:
        """First index, and one past the last, of shard `number`."""
        start = number * self.shard_size
        return start, min(start + self.shard_size, self.num_samples)


MakeSource = Callable[[], StateSource]


def generate(config: DatasetConfig, make_source: MakeSource | None = None) -> Path:
    """Makes a dataset, or finishes one.

    Args:
        config: the settings.
        make_source: builds the state source in each worker, for sources this room does not know;
            must be picklable.

    Returns:
        The dataset's folder.

    Raises:
        InputError: bad settings, or a folder that holds something else.
    """
    config.check()
    object_spec(config.object)
    content = config.content()
    if make_source is None and not config.states.startswith("policy:"):
        state_source(config.states, config.object)
    new_folder(config.out, resume=config.resume)
    with _lock(config.out):
        open_run(config.out, content, resume=True)
        if not (config.out / MANIFEST_NAME).exists():
            _make_missing(config, make_source)
            write_manifest(config.out, _manifest(config, content))
        else:
            _make_missing(config, make_source)
    return config.out


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Holds a lock that the kernel releases when the process dies."""
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(
                f"another process is writing {folder}; wait for it, or name another folder"
            ) from error
        yield


def _make_missing(config: DatasetConfig, make_source: MakeSource | None) -> None:
    missing = [n for n in range(config.shard_count) if not (config.out / shard_name(n)).exists()]
    done = config.num_samples - sum(b - a for a, b in map(config.bounds, missing))
    workers = min(config.workers or os.cpu_count() or 1, max(len(missing), 1))
    context = multiprocessing.get_context("spawn")
    counter = context.Value("l", 0)
    with tqdm(total=config.num_samples, initial=done, unit="sample", desc=str(config.out)) as bar:
        for _ in range(MAX_RESTARTS):
            if not missing:
                return
            pool = ProcessPoolExecutor(
                workers, context, initializer=_start_worker, initargs=(config, make_source, counter)
            )
            try:
                with pool:
                    futures = {pool.submit(_make_shard, number): number for number in missing}
                    try:
                        _follow(futures, missing, counter, bar, done)
                    except BaseException:
                        pool.shutdown(wait=False, cancel_futures=True)
                        raise
            except BrokenProcessPool:
                bar.write("a worker died; its shards are made again")
        raise RuntimeError(f"workers died {MAX_RESTARTS} times; the last shards are {missing[:5]}")


def _follow(
    futures: dict[Future[None], int], missing: list[int], counter: Any, bar: "tqdm[Any]", done: int
) -> None:
    """Waits for shards, keeps the progress bar moving, and strikes finished ones off the list."""
    pending = set(futures)
    while pending:
        finished, pending = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
        bar.n = min(done + counter.value, bar.total)
        bar.refresh()
        for future in finished:
            future.result()
            missing.remove(futures[future])


_worker: dict[str, Any] = {}


def _start_worker(config: DatasetConfig, make_source: MakeSource | None, counter: Any) -> None:
    # llvmpipe's own threads only get in the way of one process per core.
    os.environ.setdefault("LP_NUM_THREADS", "0")
    rig = load_rig(config.rig)
    _worker["config"] = config
    _worker["counter"] = counter
    _worker["source"] = make_source() if make_source else state_source(config.states, config.object)
    _worker["renderer"] = make_renderer(
        config.renderer, rig=rig, object_name=config.object, image_size=config.image_size
    )


def _make_shard(number: int) -> None:
    config: DatasetConfig = _worker["config"]
    path = config.out / shard_name(number)
    samples = make_samples(config, _worker["source"], _worker["renderer"], *config.bounds(number))
    write_shard(path, _counted(samples), jpeg_quality=config.jpeg_quality)


def _counted(samples: Iterator[Sample]) -> Iterator[Sample]:
    counter = _worker["counter"]
    for sample in samples:
        yield sample
        with counter.get_lock():
            counter.value += 1


def make_samples(
    config: DatasetConfig, source: StateSource, renderer: Renderer, start: int, stop: int
) -> Iterator[Sample]:
    """Renders the samples `start` to `stop` of a dataset, which are a shard's bounds."""
    ranges = load_appearance(config.appearance)
    thing = object_spec(config.object)
    views = len(renderer.rig.cameras)
    states = source.states(config.seed, start, stop)
    for index, state in zip(range(start, stop), states, strict=True):
        rng = sample_rng(config.seed, index, APPEARANCE_STREAM)
        appearance = sample_appearance(rng, ranges, views=views, thing=thing)
        images = renderer.render(state, appearance)
        cameras = renderer.cameras(appearance)
        pose = pose_matrix(state.position, state.quaternion)
        corners = transform_points(pose, thing.corners)
        label = Label(
            index=index,
            position=state.position,
            quaternion=state.quaternion,
            joints=state.joints,
            source=source.name,
            cameras=renderer.rig.cameras,
            true_cameras=cameras,
            corners=np.stack([camera.project(corners)[0] for camera in cameras]),
            visible_fraction=renderer.visible_fraction(),
            appearance=appearance.to_dict(),
        )
        yield Sample(images, label)


def _manifest(config: DatasetConfig, content: dict[str, Any]) -> Manifest:
    thing = object_spec(config.object)
    versions = {name: importlib.metadata.version(name) for name in ("mujoco", "numpy", "pillow")}
    shards = [
        Shard(shard_name(n), *config.bounds(n), sha256(config.out / shard_name(n)))
        for n in range(config.shard_count)
    ]
    return Manifest(
        seed=config.seed,
        num_samples=config.num_samples,
        object=config.object,
        keypoints=thing.keypoints.tolist(),
        num_corners=len(thing.corners),
        rig=content["rig"],
        config=content,
        config_hash=json_hash(content),
        made_with={"renderer": config.renderer, "gl": os.environ.get("MUJOCO_GL", "")} | versions,
        shards=shards,
    )
