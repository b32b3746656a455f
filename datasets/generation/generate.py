"""Dataset generation: whoever makes the shards, the bytes are the same."""

import dataclasses
import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from tqdm import tqdm

from opendactyl.core.atomic_files import json_hash, sha256
from opendactyl.core.errors import InputError
from opendactyl.core.run_dir import CONFIG_NAME, new_folder, open_run
from opendactyl.datasets.format.manifest import (
    CARD_NAMES,
    MANIFEST_NAME,
    Manifest,
    Shard,
    load_manifest,
    write_manifest,
)
from opendactyl.datasets.format.shards import shard_name
from opendactyl.datasets.generation.config import DatasetConfig, ResolvedConfig, library_versions
from opendactyl.datasets.generation.local_workers import pool_shards
from opendactyl.datasets.generation.progress import (
    checksums_promised,
    checksums_so_far,
    enter,
    lock,
)
from opendactyl.datasets.generation.ray_workers import ray_shards
from opendactyl.datasets.generation.shard_builder import MakeSource
from opendactyl.datasets.generation.state_sources import state_source
from opendactyl.datasets.generation.upload import Uploader
from opendactyl.render.filament.vulkan import count_devices
from opendactyl.render.opengl.backend import choose
from opendactyl.sim.objects.shipped import object_spec

WriteCard = Callable[[Path], object]
"""Writes the dataset card (`CARD_NAMES`) of a finished dataset, as `export.card.write_card`."""


def generate(
    config: DatasetConfig,
    make_source: MakeSource | None = None,
    write_card: WriteCard | None = None,
) -> Path:
    """Makes a dataset, or finishes one.

    Args:
        config: the settings.
        make_source: builds the state source in each worker, for sources this room does not know;
            must be picklable.
        write_card: writes the dataset card; without it there is none.

    Returns:
        The dataset's folder.

    Raises:
        InputError: bad settings, or a folder that holds something else.
    """
    config.check()
    object_spec(config.object)
    return generate_resolved(ResolvedConfig.resolve(config), make_source, write_card)


def generate_resolved(
    resolved: ResolvedConfig,
    make_source: MakeSource | None = None,
    write_card: WriteCard | None = None,
) -> Path:
    """Like `generate`, for settings with everything they name looked up."""
    config = resolved.config
    fingerprint = _fingerprint(config, make_source)
    resolved = dataclasses.replace(resolved, fingerprint=fingerprint)
    if not config.ray and not (config.out / MANIFEST_NAME).exists():
        _ready(config)  # where the renderer does not work, no folder stays behind
    new_folder(config.out, resume=config.resume)
    with lock(config.out):
        open_run(config.out, resolved.content(), resume=True)
        _finish(resolved, make_source, write_card)
    return config.out


def repair(
    folder: Path,
    *,
    workers: int = 0,
    ray: str = "",
    upload: str = "",
    make_source: MakeSource | None = None,
    write_card: WriteCard | None = None,
) -> tuple[str, ...]:
    """Makes the missing and damaged shards of a finished dataset again; returns their names.

    Args:
        folder: the dataset.
        workers: as in `DatasetConfig`.
        ray: as in `DatasetConfig`.
        upload: as in `DatasetConfig`.
        make_source: as in `generate`.
        write_card: as in `generate`.

    Raises:
        InputError: the dataset is unfinished, or a shard comes out other than it was.
    """
    manifest = load_manifest(folder)
    config = DatasetConfig(out=folder, workers=workers, ray=ray, upload=upload, resume=True)
    resolved = ResolvedConfig.from_content(manifest.config, config)
    if _fingerprint(resolved.config, make_source) != resolved.fingerprint:
        raise InputError(
            f"{resolved.config.states} is not what {folder} was made with; put the old one back"
        )
    with lock(folder):
        broken = _broken(resolved, {s.name: s.sha256 for s in manifest.shards})
        _finish(resolved, make_source, write_card)
    return tuple(shard_name(number) for number in broken)


def _fingerprint(config: DatasetConfig, make_source: MakeSource | None) -> str:
    source = make_source() if make_source else state_source(config.states, config.object)
    return source.fingerprint


def _ready(config: DatasetConfig) -> None:
    """Chooses a GL backend if the renderer wants one; an `InputError` where it does not work."""
    if config.renderer == "filament":
        count_devices()
    else:
        choose()


def _finish(
    resolved: ResolvedConfig, make_source: MakeSource | None, write_card: WriteCard | None
) -> None:
    """Makes what is missing or damaged, then the manifest and the card."""
    out = resolved.config.out
    uploader = Uploader(resolved.config.upload, out) if resolved.config.upload else None
    promised = checksums_promised(out)
    sums = promised or checksums_so_far(out)
    broken = _broken(resolved, sums)
    if not resolved.config.ray and (broken or not promised):
        _ready(resolved.config)  # for the workers, which are told by the environment
    sound = {k: v for k, v in sums.items() if k not in map(shard_name, broken)}
    _make(resolved, make_source, broken, sound, uploader)
    made = checksums_so_far(out) if broken or not promised else promised
    differing = [name for name, checksum in promised.items() if made[name] != checksum]
    if differing and _is_exact(resolved):
        raise InputError(
            f"{differing[0]} came out other than {out / MANIFEST_NAME} promises: the machine, the "
            "renderer or a library is another one than that dataset was made with; make it again"
        )
    if differing or not promised:
        write_manifest(out, _manifest(resolved, made))
    if write_card and (broken or not (out / CARD_NAMES[0]).exists()):
        write_card(out)
    if uploader:
        card = [name for name in CARD_NAMES if (out / name).exists()]
        uploader.finish(made, (CONFIG_NAME, *card))


def _is_exact(resolved: ResolvedConfig) -> bool:
    from opendactyl.render.base import EXACT

    return resolved.config.renderer in EXACT


def _broken(resolved: ResolvedConfig, sums: dict[str, str]) -> list[int]:
    out = resolved.config.out

    def sound(name: str) -> bool:
        return name in sums and (out / name).is_file() and sha256(out / name) == sums[name]

    return [n for n in range(resolved.config.shard_count) if not sound(shard_name(n))]


def _make(
    resolved: ResolvedConfig,
    make_source: MakeSource | None,
    numbers: list[int],
    sums: dict[str, str],
    uploader: Uploader | None,
) -> None:
    config = dataclasses.replace(resolved.config, out=resolved.config.out.resolve())
    todo = sum(stop - start for start, stop in map(config.bounds, numbers))
    done = config.num_samples - todo
    engine = ray_shards if config.ray else pool_shards
    with tqdm(
        total=config.num_samples, initial=done, unit="sample", desc=str(resolved.config.out)
    ) as bar:
        show = _shown(bar, done)
        elsewhere = dataclasses.replace(resolved, config=config)
        with closing(engine(elsewhere, make_source, numbers, show)) as finished:
            for number, checksum in finished:
                sums[shard_name(number)] = checksum
                enter(config.out, sums)
                if uploader:
                    uploader.put(shard_name(number), checksum)
        show(todo)


def _shown(bar: "tqdm[Any]", done: int) -> Callable[[int], None]:
    def show(made: int) -> None:
        bar.n = min(done + made, bar.total)
        bar.refresh()

    return show


def _manifest(resolved: ResolvedConfig, sums: dict[str, str]) -> Manifest:
    from opendactyl.render.base import REPEATS

    config, content = resolved.config, resolved.content()
    obj = object_spec(config.object)
    gl = "chosen by each node" if config.ray else os.environ.get("MUJOCO_GL", "")
    names = map(shard_name, range(config.shard_count))
    return Manifest(
        seed=config.seed,
        num_samples=config.num_samples,
        object=config.object,
        keypoints=obj.keypoints.tolist(),
        num_corners=len(obj.corners),
        rig=content["rig"],
        config=content,
        config_hash=json_hash(content),
        made_with={"renderer": config.renderer, "gl": gl} | library_versions(),
        repeats=REPEATS[config.renderer],
        shards=[Shard(name, *config.bounds(n), sums[name]) for n, name in enumerate(names)],
    )
