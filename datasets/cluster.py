"""Shards made on a Ray cluster whose nodes share the output folder.

Imports neither MuJoCo nor GL: each node chooses its own GL backend before it does.
"""

import pickle
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from opendactyl.datasets.recipe import Recipe
from opendactyl.files.errors import InputError

if TYPE_CHECKING:
    from opendactyl.datasets.pool import Finished

RETRIES = 20
"""How often a shard is tried again when its node or worker is lost."""


def ray_shards(
    recipe: Recipe, make_source: Any, numbers: list[int], tick: Callable[[int], None]
) -> "Finished":
    """Makes shards as Ray tasks; a lost node costs only the shards it had not finished.

    Raises:
        InputError: Ray is not installed, or there is no cluster at the address.
    """
    try:
        import ray
    except ImportError as error:
        raise InputError("--ray needs Ray: pip install 'opendactyl[cluster]'") from error
    if not ray.is_initialized():
        try:
            ray.init(address=recipe.config.ray, log_to_driver=False)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise InputError(
                f"no Ray cluster at {recipe.config.ray!r} ({error}); start one with "
                "`ray start --head`, or leave --ray out"
            ) from error
    # Pickled by hand: a source may import MuJoCo, which must wait for the choice of a backend.
    job = pickle.dumps((recipe, make_source))
    make = ray.remote(num_cpus=1, max_retries=RETRIES)(_make_shard)
    pending = {make.remote(job, number): number for number in numbers}
    made = 0
    try:
        while pending:
            (done,), _ = ray.wait(list(pending), num_returns=1)
            number = pending.pop(done)
            yield number, ray.get(done)
            start, stop = recipe.config.bounds(number)
            made += stop - start
            tick(made)
    finally:
        for task in pending:
            ray.cancel(task, force=True)


_makers: dict[bytes, Any] = {}


def _make_shard(job: bytes, number: int) -> str:
    from opendactyl.render.backend import choose

    if job not in _makers:
        choose()
        from opendactyl.datasets.samples import ShardMaker

        for maker in _makers.values():
            maker.close()
        _makers.clear()
        _makers[job] = ShardMaker(*pickle.loads(job))
    return _makers[job].write(number, lambda: None)
