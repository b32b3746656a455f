"""Runs evaluation episodes and keeps a record of each; those by sight in a process a core."""

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import numpy as np
from tqdm import tqdm

from opendactyl.control.bundle.load import load_bundle
from opendactyl.control.evaluation.batched_loop import Loop
from opendactyl.control.evaluation.episodes import (
    EpisodeConfig,
    make_cameras,
    make_env,
    make_source,
    open_renderer,
)
from opendactyl.control.evaluation.sim_adapters import SimCameras
from opendactyl.core.cpu import cores
from opendactyl.core.errors import InputError
from opendactyl.core.worker_process import obey_parent
from opendactyl.policy.env.env import HandEnv
from opendactyl.policy.env.reward import DIVERGED, DROPPED, FINISHED, TIMED_OUT

BATCH = {"sim": 32, "vision": 2}
"""Episodes that run at once; each is the same whatever runs beside it."""
OUTCOMES = {DROPPED: "drop", TIMED_OUT: "timeout", FINISHED: "finished", DIVERGED: "diverged"}
VISIBILITY_EVERY = 10
"""Actions between two looks at how much of the object the cameras see."""

Record = dict[str, Any]
"""What became of an episode."""


def run_episodes(
    config: EpisodeConfig, first: int, stop: int, workers: int = 0
) -> Iterator[list[Record]]:
    """Runs episodes `first` to `stop` - 1; yields the records of a few at a time, in order.

    Args:
        config: what to run.
        first: number of the first episode.
        stop: one past the number of the last.
        workers: processes for episodes by sight; 0 is one a core.
    """
    workers = 1 if config.pose == "sim" else workers or cores()
    batches = share_out(first, stop, BATCH[config.pose], workers)
    with tqdm(total=stop, initial=first, unit="episode", desc=config.pose) as bar:
        if not batches:
            return
        if config.pose == "sim":
            runner = Runner(config)
            for batch in batches:
                yield runner.run(*batch, bar)
            return
        for records in _in_processes(config, batches, workers):
            bar.update(len(records))
            yield records


def share_out(first: int, stop: int, size: int, workers: int) -> list[tuple[int, int]]:
    """First episode and number of each batch; with several workers, the last ones go alone.

    So no worker has two episodes ahead of it when the others have nothing left to do.
    """
    alone = stop if workers == 1 else max(first, stop - workers * size)
    together = [(start, min(size, alone - start)) for start in range(first, alone, size)]
    return together + [(number, 1) for number in range(alone, stop)]


def _in_processes(
    config: EpisodeConfig, batches: list[tuple[int, int]], workers: int
) -> Iterator[list[Record]]:
    # llvmpipe's own threads only get in the way of one process per core.
    os.environ.setdefault("LP_NUM_THREADS", "0")
    context, before = multiprocessing.get_context("spawn"), set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(
        min(workers, len(batches)), context, initializer=_start_worker, initargs=(config,)
    )
    try:
        yield from pool.map(_run_batch, batches)
    except BrokenProcessPool as error:
        raise InputError(
            "a worker process died; memory is the likeliest reason: continue with --resume and "
            "fewer --workers"
        ) from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in set(multiprocessing.active_children()) - before:
            child.terminate()


_worker: dict[str, Any] = {}


def _start_worker(config: EpisodeConfig) -> None:
    obey_parent()
    _worker["config"] = config


def _run_batch(batch: tuple[int, int]) -> list[Record]:
    if "runner" not in _worker:  # Here, so that its errors reach the parent.
        _worker["runner"] = Runner(_worker["config"], threads=1)
    return _worker["runner"].run(*batch)


class Runner:
    """A bundle, and cameras for it to see through."""

    def __init__(self, config: EpisodeConfig, threads: int = 0) -> None:
        """Loads the bundle and opens a renderer, if the pose is from sight."""
        self._config, self._threads = config, threads
        self._bundle = load_bundle(config.bundle, threads)
        sight = config.pose == "vision"
        self._renderer = open_renderer(config.renderer, self._bundle) if sight else None

    def run(self, first: int, count: int, bar: "tqdm[Any] | None" = None) -> list[Record]:
        """Runs `count` episodes from number `first` on to their ends; returns their records."""
        config, bundle = self._config, self._bundle
        env = make_env(config, bundle, count, first, self._threads)
        cameras = [self._cameras(env, number) for number in range(count)]
        sources = [make_source(config, bundle, env, i, cameras[i]) for i in range(count)]
        loop = Loop(bundle, env, sources)
        records: list[Record] = [
            {"episode": first + i, "actions": 0, "rotation_error_rad": 0.0,
             "position_error_m": 0.0, "visibility": []}
            for i in range(count)
        ]  # fmt: skip
        while env.running.any():
            which = np.flatnonzero(env.running)
            step = loop.step()
            for i in which:
                _note(records[i], loop, int(i), cameras[i])
                if not env.running[i]:
                    records[i]["goals"] = int(step.goals[i])
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


def _note(record: Record, loop: Loop, number: int, cameras: SimCameras | None) -> None:
    """Adds an action to an episode's record."""
    rotation, position = float(loop.error_rad[number]), float(loop.error_m[number])
    record["actions"] += 1
    record["rotation_error_rad"] += rotation
    record["position_error_m"] += position
    if cameras is not None and cameras.visible is not None:
        record["visibility"].append([float(cameras.visible.mean()), rotation, position])
