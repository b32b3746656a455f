"""Shards made on a Ray cluster whose nodes share the output folder.

Imports neither MuJoCo nor GL: each node chooses its own GL backend before it does.
"""

import contextlib
import logging
import pickle
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opendactyl.core.atomic_files import sha256
from opendactyl.core.errors import InputError
from opendactyl.datasets.format.shards import shard_name
from opendactyl.datasets.generation.config import ResolvedConfig, library_versions

_log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from opendactyl.datasets.generation.local_workers import Finished

RETRIES = 20
"""How often a shard is tried again when its node or worker is lost."""
SILENCE_SECONDS = 60
"""After so long without a finished shard the user is told."""
PATIENCE = 30
"""Seconds until a shard made elsewhere must be seen here; network file systems take their time."""


def ray_shards(
    resolved: ResolvedConfig, make_source: Any, numbers: list[int], tick: Callable[[int], None]
) -> "Finished":
    """Makes shards as Ray tasks; a lost node costs only the shards it had not finished.

    Raises:
        InputError: Ray is not installed, there is no cluster at the address, its nodes have other
            versions of the libraries that decide the bytes, or do not share the output folder.
    """
    try:
        import ray
    except ImportError as error:
        raise InputError("--ray needs Ray: pip install 'opendactyl[cluster]'") from error
    ours = not ray.is_initialized()
    if ours:
        _connect(resolved.config.ray)
    try:
        yield from _collect(resolved, make_source, numbers, tick)
    finally:
        if ours:
            ray.shutdown()


def _connect(address: str) -> None:
    import ray

    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise InputError(
            f"no Ray cluster at {address!r} ({error}); start one with "
            "`ray start --head`, or leave --ray out"
        ) from error


def _collect(
    resolved: ResolvedConfig, make_source: Any, numbers: list[int], tick: Callable[[int], None]
) -> "Finished":
    import ray
    from ray.exceptions import RayError

    # Pickled by hand: a source may import MuJoCo, which must wait for the choice of a backend.
    kind = resolved.config.renderer
    job = ray.put((pickle.dumps((resolved, make_source)), kind, library_versions()))
    make = ray.remote(num_cpus=1, max_retries=RETRIES)(_make_shard)
    pending = {make.remote(job, number): number for number in numbers}
    made, drawn_by = 0, set[str]()
    try:
        while pending:
            finished, _ = ray.wait(list(pending), num_returns=1, timeout=SILENCE_SECONDS)
            if not finished:
                _log.warning("no shard for %d s; has the cluster a free CPU?", SILENCE_SECONDS)
                continue
            (done,) = finished
            number = pending.pop(done)
            checksum, gl = _result(done, number)
            drawn_by.add(gl)
            if len(drawn_by) > 1:
                raise InputError(
                    f"the nodes draw with different graphics, {' and '.join(sorted(drawn_by))}; "
                    "their bytes would differ: use nodes of one kind"
                )
            _await(Path(resolved.config.out) / shard_name(number), checksum)
            yield number, checksum
            start, stop = resolved.config.bounds(number)
            made += stop - start
            tick(made)
    finally:
        for task in pending:
            with contextlib.suppress(RayError):
                ray.cancel(task, force=True)


def _result(task: Any, number: int) -> tuple[str, str]:
    import ray
    from ray.exceptions import RayError, RayTaskError

    try:
        return ray.get(task)
    except RayTaskError as error:
        if isinstance(error.cause, InputError):
            raise error.cause from None
        raise
    except RayError as error:
        raise InputError(
            f"the cluster could not make {shard_name(number)} ({error}); continue with --resume"
        ) from error


def _await(path: Path, checksum: str) -> None:
    for _ in range(PATIENCE):
        if path.is_file() and sha256(path) == checksum:
            return
        time.sleep(1.0)
    raise InputError(
        f"{path} was made on the cluster and is not seen here; --out must be a folder that all "
        "nodes share under the same name"
    )


_makers: dict[bytes, Any] = {}


def _make_shard(job: tuple[bytes, str, dict[str, str]], number: int) -> tuple[str, str]:
    """Makes a shard on a node; returns its checksum and what drew it."""
    config_and_source, kind, versions = job
    if library_versions() != versions:
        raise InputError(
            f"node {platform.node()} has {library_versions()}, this machine has {versions}; "
            "install the same versions on every node"
        )
    if config_and_source not in _makers:
        if kind == "classic":
            from opendactyl.render.opengl.backend import choose

            choose()
        from opendactyl.datasets.generation.shard_builder import ShardMaker

        for maker in _makers.values():
            maker.close()
        _makers.clear()
        _makers[config_and_source] = ShardMaker(*pickle.loads(config_and_source))
    checksum = _makers[config_and_source].write(number, lambda: None)
    return checksum, _drawn_by(kind)


def _drawn_by(kind: str) -> str:
    """The graphics that a renderer has just used: of OpenGL, other makes give other bytes."""
    if kind != "classic":
        return kind
    from OpenGL import GL

    return str(GL.glGetString(GL.GL_RENDERER) or b"unknown", "ascii", "replace")
