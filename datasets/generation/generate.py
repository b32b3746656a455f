"""Dataset generation; the bytes do not depend on the number or kind of workers."""

import dataclasses
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from tqdm import tqdm

from opendactyl.core.atomic_files import sha256
from opendactyl.core.errors import InputError
from opendactyl.core.optional_files import exists, read_json_optional
from opendactyl.core.run_dir import (
    CONFIG_NAME,
    Forecast,
    new_folder,
    open_run,
    removed_on_failure,
)
from opendactyl.datasets.format.manifest import (
    CARD_NAMES,
    MANIFEST_NAME,
    Manifest,
    load_manifest,
    write_manifest,
)
from opendactyl.datasets.format.shards import shard_name
from opendactyl.datasets.generation.config import (
    DatasetConfig,
    ResolvedConfig,
    uses_opengl,
)
from opendactyl.datasets.generation.finished_manifest import finished_manifest
from opendactyl.datasets.generation.local_workers import pool_shards
from opendactyl.datasets.generation.progress import (
    Progress,
    check_generation,
    check_same_versions,
    lock,
    reporter,
)
from opendactyl.datasets.generation.ray_workers import ray_shards
from opendactyl.datasets.generation.shard_builder import MakeSource, open_source
from opendactyl.datasets.generation.upload import Uploader
from opendactyl.render.filament.vulkan import count_devices
from opendactyl.render.opengl.backend import choose_backend
from opendactyl.render.volume import check_views
from opendactyl.sim.assets.storage import stored_files

WriteCard = Callable[[Path], object]
"""Writes the dataset card (`CARD_NAMES`) of a finished dataset, as `export.card.write_card`."""


def generate(
    config: DatasetConfig,
    make_source: MakeSource | None = None,
    write_card: WriteCard | None = None,
) -> Path:
    """Generates a dataset, or finishes one.

    Args:
        config: the settings.
        make_source: builds the state source in each worker, for sources from outside this package;
            must be picklable.
        write_card: writes the dataset card; None writes no card.

    Returns:
        The dataset's folder.

    Raises:
        InputError: invalid settings, or a folder that is in use or holds something else.
        EnvironmentFailure: disk, GL driver, workers, cluster or store failed; what is finished
            stays, and `resume` continues from it.
    """
    return generate_resolved(ResolvedConfig.resolve(config), make_source, write_card)


def generate_resolved(
    resolved: ResolvedConfig,
    make_source: MakeSource | None = None,
    write_card: WriteCard | None = None,
) -> Path:
    """Like `generate`, for resolved settings."""
    config = resolved.config
    fingerprint = open_source(config, make_source).fingerprint
    resolved = dataclasses.replace(resolved, fingerprint=fingerprint)
    check_views(resolved.rig, resolved.obj, resolved.hand)
    if not config.ray and not exists(config.out / MANIFEST_NAME):
        _check_renderer(config)  # before a folder is created
    new_folder(config.out, resume=config.resume)
    with lock(config.out), removed_on_failure(config.out, lambda: any(config.out.glob("*.tar"))):
        open_run(config.out, resolved.content(), resume=True)
        _finish(resolved.with_copies(), make_source, write_card)
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
    """Generates the missing and damaged shards of a finished dataset again; returns their names.

    Args:
        folder: the dataset.
        workers: as in `DatasetConfig`.
        ray: as in `DatasetConfig`.
        upload: as in `DatasetConfig`.
        make_source: as in `generate`.
        write_card: as in `generate`.

    Raises:
        InputError: the dataset is unfinished, or a shard gets another checksum than before.
        EnvironmentFailure: as in `generate`; a shard that cannot be read is not repaired.
    """
    manifest = load_manifest(folder)
    config = DatasetConfig(out=folder, workers=workers, ray=ray, upload=upload, resume=True)
    resolved = ResolvedConfig.from_content(manifest.config, config)
    if open_source(resolved.config, make_source).fingerprint != resolved.fingerprint:
        raise InputError(
            f"{resolved.config.states} has changed since {folder} was made; restore that bundle"
        )
    with lock(folder):
        broken = _finish(resolved, make_source, write_card)
    return tuple(shard_name(number) for number in broken)


def _check_renderer(config: DatasetConfig) -> None:
    """Chooses a GL backend if one is needed; raises if the renderer does not work."""
    if config.renderer == "filament":
        count_devices()
    if uses_opengl(config.renderer, config.states):
        choose_backend()


def _finish(
    resolved: ResolvedConfig, make_source: MakeSource | None, write_card: WriteCard | None
) -> list[int]:
    """Generates missing and damaged shards, manifest and card; returns the shards' numbers."""
    out = resolved.config.out
    uploader = Uploader(resolved.config.upload, out) if resolved.config.upload else None
    finished = _finished(out)
    expected = {shard.name: shard.sha256 for shard in finished.shards} if finished else {}
    versions = resolved.versions()
    progress = Progress(out, versions, {**expected}) if finished else Progress.read(out, versions)
    broken = _broken(resolved, progress.sums)
    for number in broken:
        progress.sums.pop(shard_name(number), None)
    if broken and finished:
        check_generation(finished.made_with.get("generation", "1"), out)
        _check_versions(resolved, finished)
    elif broken:
        progress.check_driver_is_recorded()
    if not resolved.config.ray and (broken or not finished):
        _check_renderer(resolved.config)  # sets MUJOCO_GL, which the workers inherit
    # Shards of a finished dataset are copied only after their checksums were compared.
    _make(resolved, make_source, broken, progress, None if finished else uploader)
    if _has_changed(resolved, expected, progress.sums) or not finished:
        write_manifest(out, finished_manifest(resolved, progress))
    if write_card and (broken or not exists(out / CARD_NAMES[0])):
        write_card(out)
    if uploader:
        card = [name for name in CARD_NAMES if exists(out / name)]
        uploader.finish(progress.sums, (CONFIG_NAME, *card, *stored_files(out)))
    return broken


def _finished(out: Path) -> Manifest | None:
    """The manifest of a finished dataset; None if it is missing or not valid JSON."""
    return None if read_json_optional(out / MANIFEST_NAME) is None else load_manifest(out)


def _check_versions(resolved: ResolvedConfig, finished: Manifest) -> None:
    """Checks the versions that made a dataset, where checksums cannot tell shards apart."""
    from opendactyl.render.base import EXACT

    versions = resolved.versions()
    if resolved.config.renderer not in EXACT:
        check_same_versions({name: finished.made_with.get(name) for name in versions}, versions,
                            resolved.config.out)  # fmt: skip


def _has_changed(resolved: ResolvedConfig, old: dict[str, str], new: dict[str, str]) -> bool:
    """Whether checksums differ from those of the manifest; an error if the renderer is exact."""
    from opendactyl.render.base import EXACT

    changed = [name for name, checksum in old.items() if new[name] != checksum]
    if changed and resolved.config.renderer in EXACT:
        raise InputError(
            f"{changed[0]} has another checksum than in {resolved.config.out / MANIFEST_NAME}: the "
            "machine, the renderer or a library is not the one that made the dataset; generate it "
            "again"
        )
    return bool(changed)


def _broken(resolved: ResolvedConfig, sums: dict[str, str]) -> list[int]:
    """The shards that are missing or have another checksum; an unreadable shard is an error."""

    def is_intact(number: int) -> bool:
        name = shard_name(number)
        path = resolved.config.out / name
        return name in sums and exists(path) and sha256(path) == sums[name]

    return [n for n in range(resolved.config.shard_count) if not is_intact(n)]


def _make(
    resolved: ResolvedConfig,
    make_source: MakeSource | None,
    numbers: list[int],
    progress: Progress,
    uploader: Uploader | None,
) -> None:
    config = dataclasses.replace(resolved.config, out=resolved.config.out.resolve())
    todo = sum(stop - start for start, stop in map(config.bounds, numbers))
    done = config.num_samples - todo
    engine = ray_shards if config.ray else pool_shards
    with tqdm(
        total=config.num_samples, initial=done, unit="sample", desc=str(resolved.config.out)
    ) as bar:
        report = reporter(bar, done, Forecast(config.out, todo))
        absolute = dataclasses.replace(resolved, config=config)
        with closing(engine(absolute, make_source, numbers, report)) as shards:
            for shard in shards:
                progress.add(shard)
                if uploader:
                    uploader.put(shard_name(shard.number), shard.sha256)
        report(todo)
