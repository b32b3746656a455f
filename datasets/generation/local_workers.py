"""Shards made by worker processes of this machine."""

import multiprocessing
from collections.abc import Callable, Generator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Any

from opendactyl.core.cpu import cores
from opendactyl.core.errors import InputError
from opendactyl.core.worker_process import obey_parent
from opendactyl.datasets.format.shards import shard_name
from opendactyl.datasets.generation.config import ResolvedConfig
from opendactyl.datasets.generation.shard_builder import MakeSource, ShardMaker

MAX_RESTARTS = 20
"""Worker processes that die are replaced this often before the run gives up."""

Finished = Generator[tuple[int, str], None, None]
"""Numbers and SHA-256 checksums of shards, as they get finished."""


def pool_shards(
    resolved: ResolvedConfig,
    make_source: MakeSource | None,
    numbers: list[int],
    tick: Callable[[int], None],
) -> Finished:
    """Makes shards in worker processes; one that dies costs all of them the shard at hand.

    The pool begins anew then, for Python gives up a pool that lost a process.

    Args:
        resolved: the dataset.
        make_source: see `generate`.
        numbers: the shards to make.
        tick: called now and then with the number of samples made so far.
    """
    missing = set(numbers)
    context = multiprocessing.get_context("spawn")
    counter = context.Value("l", 0)
    workers = min(resolved.config.workers or cores(), max(len(missing), 1))
    for _ in range(MAX_RESTARTS):
        before = set(multiprocessing.active_children())
        pool = ProcessPoolExecutor(
            workers, context, initializer=_start_worker, initargs=(resolved, make_source, counter)
        )
        try:
            futures = {pool.submit(_make_shard, number): number for number in sorted(missing)}
            for number, checksum in _follow(futures, partial(_tell, tick, counter)):
                missing.discard(number)
                yield number, checksum
            return
        except BrokenProcessPool:
            continue
        finally:
            pool.shutdown(wait=not missing, cancel_futures=True)
            if missing:
                for child in set(multiprocessing.active_children()) - before:
                    child.kill()
                    child.join()
    raise InputError(
        f"worker processes died {MAX_RESTARTS} times, last while {_names(missing)} were due; "
        "memory is the likeliest reason: continue with --resume and fewer --workers"
    )


def _names(numbers: set[int]) -> str:
    shown = [shard_name(number) for number in sorted(numbers)[:3]]
    return ", ".join(shown) + (" …" if len(numbers) > 3 else "")


def _tell(tick: Callable[[int], None], counter: Any) -> None:
    tick(counter.value)


def _follow(futures: dict[Future[str], int], tick: Callable[[], None]) -> Finished:
    pending = set(futures)
    while pending:
        finished, pending = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
        tick()
        for future in finished:
            yield futures[future], future.result()


_worker: dict[str, Any] = {}


def _start_worker(resolved: ResolvedConfig, make_source: MakeSource | None, counter: Any) -> None:
    obey_parent()
    _worker.update(resolved=resolved, make_source=make_source, counter=counter)


def _make_shard(number: int) -> str:
    if "maker" not in _worker:  # Here, so that its errors reach the parent.
        _worker["maker"] = ShardMaker(_worker["resolved"], _worker["make_source"])
    return _worker["maker"].write(number, _count)


def _count() -> None:
    with _worker["counter"].get_lock():
        _worker["counter"].value += 1
