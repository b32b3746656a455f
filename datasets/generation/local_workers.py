"""Shard generation by worker processes of this machine."""

import contextlib
import itertools
import multiprocessing
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from opendactyl.core.cpu import cores
from opendactyl.core.errors import EnvironmentFailure
from opendactyl.core.worker_process import can_start_workers, obey_parent
from opendactyl.datasets.format.shards import shard_name
from opendactyl.datasets.generation.config import ResolvedConfig
from opendactyl.datasets.generation.progress import LIFETIME, FinishedShard, FinishedShards
from opendactyl.datasets.generation.shard_builder import MakeSource, ShardMaker

MAX_RESTARTS = 20
"""The run fails after workers have died this often."""


def pool_shards(
    resolved: ResolvedConfig,
    make_source: MakeSource | None,
    numbers: list[int],
    report: Callable[[int], None],
) -> FinishedShards:
    """Generates shards in worker processes; a worker crash restarts every shard in flight.

    Where processes cannot share memory, this process generates them.

    Args:
        resolved: the dataset.
        make_source: see `generate`.
        numbers: the shards to generate.
        report: called regularly with the number of samples generated so far.

    Raises:
        InputError: see `ShardMaker`.
        EnvironmentFailure: workers died `MAX_RESTARTS` times.
    """
    if not can_start_workers("one process renders, which is slower"):
        yield from _in_this_process(resolved, make_source, numbers, report)
        return
    missing = set(numbers)
    context = multiprocessing.get_context("spawn")
    counter = context.Value("l", 0)
    workers = min(resolved.config.workers or cores(), max(len(missing), 1))
    arguments = (resolved, make_source, counter)
    at_once = workers * LIFETIME.get(resolved.config.renderer, len(missing))
    deaths = 0
    while missing:
        before = set(multiprocessing.active_children())
        pool = ProcessPoolExecutor(workers, context, _start_worker, arguments)
        due = set(sorted(missing)[:at_once])
        try:
            futures = [pool.submit(_make_shard, number) for number in sorted(due)]
            for shard in _results(futures, lambda: report(counter.value)):
                missing.discard(shard.number)
                yield shard
        except BrokenProcessPool as error:  # one process has died, and the pool is unusable
            deaths += 1
            if deaths == MAX_RESTARTS:
                raise EnvironmentFailure(
                    f"worker processes died {MAX_RESTARTS} times, last while generating "
                    f"{_names(missing)}; probably out of memory: continue with --resume and fewer "
                    "--workers"
                ) from error
        finally:
            _stop(pool, before, kill=bool(due & missing))


def _in_this_process(
    resolved: ResolvedConfig,
    make_source: MakeSource | None,
    numbers: list[int],
    report: Callable[[int], None],
) -> FinishedShards:
    made = itertools.count(1)
    with contextlib.closing(ShardMaker(resolved, make_source)) as maker:
        for number in numbers:
            yield maker.write(number, lambda: report(next(made)))


def _stop(pool: ProcessPoolExecutor, before: set[Any], *, kill: bool) -> None:
    """Ends a pool; `kill` also ends its processes, which are all but those of `before`."""
    pool.shutdown(wait=not kill, cancel_futures=True)
    if kill:
        for child in set(multiprocessing.active_children()) - before:
            child.kill()
            child.join()


def _names(numbers: set[int]) -> str:
    shown = [shard_name(number) for number in sorted(numbers)[:3]]
    return ", ".join(shown) + (" …" if len(numbers) > 3 else "")


def _results(futures: list[Future[FinishedShard]], report: Callable[[], None]) -> FinishedShards:
    pending = set(futures)
    while pending:
        finished, pending = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
        report()
        for future in finished:
            yield future.result()


_worker: dict[str, Any] = {}


def _start_worker(resolved: ResolvedConfig, make_source: MakeSource | None, counter: Any) -> None:
    obey_parent()
    _worker.update(resolved=resolved, make_source=make_source, counter=counter)


def _make_shard(number: int) -> FinishedShard:
    if "maker" not in _worker:  # not in the initializer: its exceptions do not reach the parent
        _worker["maker"] = ShardMaker(_worker["resolved"], _worker["make_source"])
    return _worker["maker"].write(number, _count)


def _count() -> None:
    with _worker["counter"].get_lock():
        _worker["counter"].value += 1
