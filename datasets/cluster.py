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

from opendactyl.datasets.recipe import Recipe, library_versions
from opendactyl.datasets.shards import shard_name
from opendactyl.files.errors import InputError

if TYPE_CHECKING:
    from opendactyl.datasets.pool import Finished

RETRIES = 20
"""How often a shard is tried again when its node or worker is lost."""
PATIENCE = 30
"""Seconds until a shard made elsewhere must be seen here; network file systems take their time."""


def ray_shards(
    recipe: Recipe, make_source: Any, numbers: list[int], tick: Callable[[int], None]
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
        _connect(recipe.config.ray)
    try:
        yield from _collect(recipe, make_source, numbers, tick)
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
    recipe: Recipe, make_source: Any, numbers: list[int], tick: Callable[[int], None]
) -> "Finished":
    import ray
    from ray.exceptions import RayError

    # Pickled by hand: a source may import MuJoCo, which must wait for the choice of a backend.
    job = ray.put((pickle.dumps((recipe, make_source)), library_versions()))
    make = ray.remote(num_cpus=1, max_retries=RETRIES)(_make_shard)
    pending = {make.remote(job, number): number for number in numbers}
    made = 0
    try:
        while pending:
            (done,), _ = ray.wait(list(pending), num_returns=1)
            number = pending.pop(done)
            checksum = _result(done, number)
            _await(Path(recipe.config.out) / shard_name(number))
            yield number, checksum
            start, stop = recipe.config.bounds(number)
            made += stop - start
            tick(made)
    finally:
        for task in pending:
            with contextlib.suppress(RayError):
                ray.cancel(task, force=True)


def _result(task: Any, number: int) -> str:
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


def _await(path: Path) -> None:
    for _ in range(PATIENCE):
        if path.is_file():
            return
        time.sleep(1.0)
    raise InputError(
        f"{path} was made on the cluster and is not seen here; --out must be a folder that all "
        "nodes share under the same name"
    )


_makers: dict[bytes, Any] = {}


def _make_shard(job: tuple[bytes, dict[str, str]], number: int) -> str:
    recipe_and_source, versions = job
    if library_versions() != versions:
        raise InputError(
            f"node {platform.node()} has {library_versions()}, this machine has {versions}; "
            "install the same versions on every node"
        )
    if recipe_and_source not in _makers:
        from opendactyl.render.backend import choose

        choose()
        from opendactyl.datasets.samples import ShardMaker

        for maker in _makers.values():
            maker.close()
        _makers.clear()
        _makers[recipe_and_source] = ShardMaker(*pickle.loads(recipe_and_source))
    return _makers[recipe_and_source].write(number, lambda: None)
