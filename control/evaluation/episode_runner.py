"""Runs evaluation episodes and records each; vision episodes run in one process per core."""

import math
import multiprocessing
import os
import queue
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from typing import Any

import numpy as np
from tqdm import tqdm

from opendactyl.control.bundle.load import load_bundle
from opendactyl.control.evaluation.batched_loop import BatchedLoop
from opendactyl.control.evaluation.episodes import (
    EpisodeConfig,
    make_cameras,
    make_env,
    make_source,
    open_renderer,
)
from opendactyl.control.evaluation.sim_adapters import SimCameras
from opendactyl.core.cpu import cores
from opendactyl.core.errors import EnvironmentFailure
from opendactyl.core.worker_process import can_start_workers, obey_parent
from opendactyl.policy.env.env import HandEnv
from opendactyl.policy.env.reward import DIVERGED, DROPPED, FINISHED, TIMED_OUT

BATCH = {"sim": 32, "vision": 2}
"""Episodes simulated together, by pose source; results do not depend on it."""
OUTCOMES = {DROPPED: "drop", TIMED_OUT: "timeout", FINISHED: "finished", DIVERGED: "diverged"}
LIFETIME = {"filament": 2000}
"""Actions after which a process is replaced, by renderer: Filament accumulates memory, with which
it slows down, and closing it does not free all."""
SUBMITTED = 4
"""Batches per process that are submitted at a time: those of an endless run would fill memory."""
VISIBILITY_EVERY = 10
"""Actions between two measurements of the object's visible fraction."""

Record = dict[str, Any]
"""The results of an episode."""


def run_episodes(
    config: EpisodeConfig, first: int, stop: int, workers: int = 0
) -> Generator[list[Record], None, None]:
    """Runs episodes `first` to `stop` - 1; yields their records batch by batch, in order.

    Args:
        config: the settings.
        first: number of the first episode.
        stop: one past the number of the last.
        workers: processes for vision episodes; 0 is one per core.

    Raises:
        EnvironmentFailure: a worker process died, or the renderer failed.
    """
    workers = 1 if config.pose == "sim" else workers or cores()
    batches = split_batches(first, stop, BATCH[config.pose], workers)
    with tqdm(total=stop, initial=first, unit="episode", desc=config.pose) as bar:
        if first >= stop:
            return
        if config.pose == "sim" or not can_start_workers("one process runs all episodes"):
            with closing(EpisodeRunner(config)) as runner:
                for batch in batches:
                    yield runner.run(*batch, bar)
            return
        for records in _in_processes(config, batches, workers):
            bar.update(len(records))
            yield records


def split_batches(first: int, stop: int, size: int, workers: int) -> Iterator[tuple[int, int]]:
    """First episode and number of episodes of each batch.

    With several workers the last batches are single episodes, which balances the load at the end.
    """
    single = stop if workers == 1 else max(first, stop - workers * size)
    for start in range(first, single, size):
        yield start, min(size, single - start)
    for number in range(single, stop):
        yield number, 1


def _in_processes(
    config: EpisodeConfig, batches: Iterator[tuple[int, int]], workers: int
) -> Iterator[list[Record]]:
    # llvmpipe's own threads slow down one process per core.
    os.environ.setdefault("LP_NUM_THREADS", "0")
    before = set(multiprocessing.active_children())
    idle = queue.SimpleQueue[_Process]()
    for _ in range(workers):
        idle.put(_Process(config))

    def run(batch: tuple[int, int]) -> list[Record]:
        process = idle.get()
        try:
            return process.run(batch)
        finally:
            idle.put(process)

    threads, pending = ThreadPoolExecutor(workers), deque[Future[list[Record]]]()
    try:
        for batch in batches:
            pending.append(threads.submit(run, batch))
            if len(pending) > SUBMITTED * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    except BrokenProcessPool as error:
        raise EnvironmentFailure(
            "a worker process died, most likely for lack of memory; continue with --resume and "
            "fewer --workers"
        ) from error
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
        for child in set(multiprocessing.active_children()) - before:
            child.terminate()


class _Process:
    """Runs batches of episodes in a process, which is replaced when its renderer has aged."""

    def __init__(self, config: EpisodeConfig) -> None:
        self._config = config
        self._lifetime = LIFETIME.get(config.renderer, math.inf)
        self._pool: ProcessPoolExecutor | None = None
        self._actions = 0

    def run(self, batch: tuple[int, int]) -> list[Record]:
        if self._pool is None:
            context, arguments = multiprocessing.get_context("spawn"), (self._config,)
            self._pool = ProcessPoolExecutor(1, context, _start_worker, arguments)
        records = self._pool.submit(_run_batch, batch).result()
        self._actions += sum(record["actions"] for record in records)
        if self._actions >= self._lifetime:
            self._pool.shutdown()
            self._pool, self._actions = None, 0
        return records


_worker: dict[str, Any] = {}


def _start_worker(config: EpisodeConfig) -> None:
    obey_parent()
    _worker["config"] = config


def _run_batch(batch: tuple[int, int]) -> list[Record]:
    if "runner" not in _worker:  # Not in the initializer: errors here reach the parent.
        _worker["runner"] = EpisodeRunner(_worker["config"], threads=1)
    return _worker["runner"].run(*batch)


class EpisodeRunner:
    """Runs episodes of one bundle in this process."""

    def __init__(self, config: EpisodeConfig, threads: int = 0) -> None:
        """Loads the bundle, and opens a renderer where the pose comes from vision."""
        self._config, self._threads = config, threads
        self._bundle = load_bundle(config.bundle, threads)
        vision = config.pose == "vision"
        self._renderer = open_renderer(config.renderer, self._bundle) if vision else None

    def close(self) -> None:
        """Closes the renderer."""
        if self._renderer is not None:
            self._renderer.close()

    def run(self, first: int, count: int, bar: "tqdm[Any] | None" = None) -> list[Record]:
        """Runs `count` episodes from number `first` on; returns their records."""
        config, bundle = self._config, self._bundle
        env = make_env(config, bundle, count, first, self._threads)
        cameras = [self._cameras(env, number) for number in range(count)]
        sources = [make_source(config, bundle, env, i, cameras[i]) for i in range(count)]
        loop = BatchedLoop(bundle, env, sources, config.action_delay)
        records: list[Record] = [
            {"episode": first + i, "actions": 0, "rotation_error_rad": 0.0,
             "position_error_m": 0.0, "visibility": []}
            for i in range(count)
        ]  # fmt: skip
        while env.running.any():
            which = np.flatnonzero(env.running)
            step = loop.step()
            for i in which:
                _record_action(records[i], loop, int(i), cameras[i])
                if not env.running[i]:
                    records[i]["goals"] = int(step.goals[i])
                    if step.rotations is not None:
                        records[i]["rotations"] = int(step.rotations[i])
                    records[i]["outcome"] = OUTCOMES[int(step.outcome[i])]
                    records[i]["without_pose"] = int(loop.faults[i])
                    if bar is not None:
                        bar.update()
        return records

    def _cameras(self, env: HandEnv, number: int) -> SimCameras | None:
        if self._renderer is None:
            return None
        cameras = make_cameras(self._config, env, number, self._renderer)
        cameras.visibility_every = VISIBILITY_EVERY
        return cameras


def _record_action(
    record: Record, loop: BatchedLoop, number: int, cameras: SimCameras | None
) -> None:
    """Adds the last action to an episode's record."""
    rotation, position = float(loop.error_rad[number]), float(loop.error_m[number])
    record["actions"] += 1
    record["rotation_error_rad"] += rotation
    record["position_error_m"] += position
    if cameras is not None and cameras.visible is not None:
        record["visibility"].append([float(cameras.visible.mean()), rotation, position])
