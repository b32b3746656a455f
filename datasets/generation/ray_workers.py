"""Shard generation on a Ray cluster whose nodes share the output folder.

Imports neither MuJoCo nor GL: each node chooses its own GL backend before it does.
"""

import contextlib
import logging
import pickle
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from opendactyl.core.atomic_files import sha256
from opendactyl.core.errors import EnvironmentFailure, InputError, OpenDactylError
from opendactyl.core.optional_files import exists
from opendactyl.datasets.format.shards import shard_name
from opendactyl.datasets.generation.config import (
    ResolvedConfig,
    installed_versions,
    uses_opengl,
)
from opendactyl.datasets.generation.progress import LIFETIME, FinishedShard, FinishedShards

_log = logging.getLogger(__name__)

RETRIES = 20
"""Retries of a shard whose node or worker was lost."""
STALL_SECONDS = 60
"""A warning is logged after this long without a finished shard."""
VISIBLE_SECONDS = 30
"""Time for a shard to appear in this machine's view of the shared folder."""


def ray_shards(
    resolved: ResolvedConfig, make_source: Any, numbers: list[int], report: Callable[[int], None]
) -> FinishedShards:
    """Generates shards as Ray tasks; a lost node restarts its unfinished shards elsewhere.

    Args:
        resolved: the dataset.
        make_source: see `generate`.
        numbers: the shards to generate.
        report: called after each shard with the number of samples generated so far.

    Raises:
        InputError: Ray is not installed, the address is malformed, or the nodes do not share the
            output folder or the bundle that states come from.
        EnvironmentFailure: the cluster cannot be reached, or its nodes have other library versions.
    """
    try:
        import ray
    except ImportError as error:
        raise InputError("--ray needs Ray: pip install 'opendactyl[cluster]'") from error
    connect = not ray.is_initialized()
    if connect:
        _connect(resolved.config.ray)
    try:
        yield from _collect(resolved, make_source, numbers, report)
    finally:
        if connect:
            ray.shutdown()


def _connect(address: str) -> None:
    import ray

    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except ValueError as error:
        raise InputError(f"--ray is {address!r} ({error}); use HOST:PORT or auto") from error
    except (ConnectionError, RuntimeError) as error:
        raise EnvironmentFailure(
            f"no Ray cluster at {address!r} ({error}); start one with "
            "`ray start --head`, or omit --ray"
        ) from error


def _collect(
    resolved: ResolvedConfig, make_source: Any, numbers: list[int], report: Callable[[int], None]
) -> FinishedShards:
    import ray
    from ray.exceptions import RayError

    # Pickled here: unpickling a source may import MuJoCo, before which the node must choose a
    # backend.
    opengl = uses_opengl(resolved.config.renderer, resolved.config.states)
    job = ray.put((pickle.dumps((resolved, make_source)), opengl, resolved.versions()))
    calls = LIFETIME.get(resolved.config.renderer, 0)  # 0: a process makes any number of shards
    make = ray.remote(num_cpus=1, max_retries=RETRIES, max_calls=calls)(_make_shard)
    pending = {make.remote(job, number): number for number in numbers}
    made = 0
    try:
        while pending:
            finished, _ = ray.wait(list(pending), num_returns=1, timeout=STALL_SECONDS)
            if not finished:
                _log.warning("no shard for %d s; has the cluster a free CPU?", STALL_SECONDS)
                continue
            (done,) = finished
            shard = _result(done, pending.pop(done))
            _wait_until_visible(Path(resolved.config.out) / shard_name(shard.number), shard.sha256)
            yield shard
            start, stop = resolved.config.bounds(shard.number)
            made += stop - start
            report(made)
    finally:
        for task in pending:
            with contextlib.suppress(RayError):
                ray.cancel(task, force=True)


def _result(task: Any, number: int) -> FinishedShard:
    import ray
    from ray.exceptions import RayError, RayTaskError

    try:
        return ray.get(task)
    except RayTaskError as error:
        if isinstance(error.cause, OpenDactylError):
            raise error.cause from None
        raise
    except RayError as error:
        raise EnvironmentFailure(
            f"the cluster failed to generate {shard_name(number)} ({error}); continue with --resume"
        ) from error


def _wait_until_visible(path: Path, checksum: str) -> None:
    for _ in range(VISIBLE_SECONDS):
        if exists(path) and sha256(path) == checksum:
            return
        time.sleep(1.0)
    raise InputError(
        f"{path} was written on the cluster but does not exist here; --out must be a folder that "
        "all nodes share under the same path"
    )


_makers: dict[bytes, Any] = {}


def _make_shard(job: tuple[bytes, bool, dict[str, str]], number: int) -> FinishedShard:
    """Generates a shard on a node."""
    config_and_source, opengl, versions = job
    installed = installed_versions(versions)
    if installed != versions:
        raise EnvironmentFailure(
            f"node {platform.node()} has {installed}, this machine has {versions}; "
            "install the same versions on every node"
        )
    if config_and_source not in _makers:
        if opengl:
            from opendactyl.render.opengl.backend import choose_backend

            choose_backend()
        from opendactyl.datasets.generation.shard_builder import ShardMaker

        for maker in _makers.values():
            maker.close()
        _makers.clear()
        _makers[config_and_source] = ShardMaker(*pickle.loads(config_and_source))
    return _makers[config_and_source].write(number, lambda: None)
