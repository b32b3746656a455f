"""Speed and memory of a long evaluation by sight: its last minutes against its first.

    python -P -m opendactyl.benchmarks.studies.endurance --renderer filament --minutes 100

Short episodes run until the time is over, in the processes of `evaluate`, which replaces them as
their renderer ages. The time is divided into intervals, of which the first and the last are
compared: actions per second, and the resident memory of all processes. The first episodes are not
measured.
"""

import dataclasses
import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from opendactyl.benchmarks.support.figure_file import save_figure
from opendactyl.benchmarks.support.study import prepare_gl, run_study
from opendactyl.control.evaluation.episode_runner import run_episodes
from opendactyl.control.evaluation.episodes import EpisodeConfig
from opendactyl.core.atomic_files import write_json, write_text
from opendactyl.core.cpu import cores
from opendactyl.core.errors import EnvironmentFailure, InputError
from opendactyl.core.run_dir import announce, to_plain

RESULT_BYTES = 1e6


@dataclass(frozen=True, kw_only=True)
class EnduranceConfig(EpisodeConfig):
    """Settings of the study."""

    bundle: Path = Path("pretrained/spin")
    """The bundle to run."""
    pose: str = "vision"
    """Source of the pose: vision."""
    renderer: str = "filament"
    """`classic` or `filament`."""
    seconds_per_goal: float = 3.0
    """An episode ends when a goal is not reached for this long; short episodes resolve the time."""
    minutes: float = 100.0
    """Length of the evaluation."""
    intervals: int = 10
    """Parts that the time is divided into."""
    workers: int = 0
    """Processes; 0 is one per core."""
    out: Path = Path("runs/endurance")
    """Folder for table.md, results.json and endurance.png."""

    def __post_init__(self) -> None:
        """Raises an `InputError` for values out of range."""
        super().__post_init__()
        if self.pose != "vision":
            raise InputError(f"--pose is {self.pose}; the study renders: it must be vision")
        if self.minutes <= 0 or self.intervals < 2 or self.workers < 0:
            raise InputError(
                "--minutes must be positive, --intervals 2 or more, --workers 0 or more"
            )


@dataclass(frozen=True)
class Sample:
    """Progress at the end of some episodes."""

    seconds: float
    """Time since the first of them."""
    actions: int
    """Actions of the episodes that have ended since then."""
    memory: float
    """Resident memory of this process and its children in MiB."""


def run(config: EnduranceConfig) -> dict[str, Any]:
    """Runs the evaluation and writes table, results and plot.

    Raises:
        InputError: the bundle cannot be used.
        EnvironmentFailure: a worker process died, or too few episodes ended to compare intervals.
    """
    announce(config.out, 60 * config.minutes, RESULT_BYTES)
    samples = list(_samples(config))
    length = 60 * config.minutes / config.intervals
    starts = [number * length for number in range(config.intervals)]
    intervals = [interval(samples, start, start + length) for start in starts]
    ratios = {f"{name}_ratio": intervals[-1][name] / intervals[0][name] for name in intervals[0]}
    results = {"settings": to_plain(config), "intervals": intervals, **ratios,
               "samples": [dataclasses.astuple(sample) for sample in samples]}  # fmt: skip
    write_json(config.out / "results.json", results)
    write_text(config.out / "table.md", make_table(results))
    save_figure(plot(samples), config.out / "endurance.png")
    return results


def _samples(config: EnduranceConfig) -> Iterator[Sample]:
    """Runs episodes until the time is over."""
    enough = int(60_000 * config.minutes)  # an action takes more than a millisecond
    began, actions = None, 0
    with closing(run_episodes(config, 0, enough, config.workers or cores())) as batches:
        for records in batches:
            now = time.monotonic()
            if began is None:
                began = now
            else:
                actions += sum(record["actions"] for record in records)
            yield Sample(now - began, actions, _resident())
            if now - began > 60 * config.minutes:
                return


def _resident() -> float:
    """Resident memory in MiB of this process and its children."""
    total = 0
    for process in (os.getpid(), *(child.pid for child in multiprocessing.active_children())):
        try:
            total += int(Path(f"/proc/{process}/statm").read_text().split()[1])
        except OSError:  # it has just ended
            continue
    return total * os.sysconf("SC_PAGE_SIZE") / 2**20


def interval(samples: list[Sample], begin: float, end: float) -> dict[str, float]:
    """Actions per second and mean memory from `begin` to `end`, in seconds.

    Raises:
        EnvironmentFailure: no episode ended in that time.
    """
    inside = [sample for sample in samples if begin < sample.seconds <= end]
    if not inside:
        raise EnvironmentFailure(
            f"no episode ended from {begin:.0f} to {end:.0f} s; raise --minutes"
        )
    before = max((s for s in samples if s.seconds <= begin), key=lambda s: s.seconds)
    return {
        "actions_per_second": (inside[-1].actions - before.actions)
        / (inside[-1].seconds - before.seconds),
        "memory_mib": sum(sample.memory for sample in inside) / len(inside),
    }


def make_table(results: dict[str, Any]) -> str:
    """A Markdown table of the intervals, and the ratios of the last to the first."""
    minutes = results["settings"]["minutes"] / len(results["intervals"])
    lines = ["| minutes | actions/s | memory (MiB) |", "|---|---|---|"]
    for number, row in enumerate(results["intervals"]):
        lines.append(
            f"| {number * minutes:g} to {(number + 1) * minutes:g} | "
            f"{row['actions_per_second']:.2f} | {row['memory_mib']:.0f} |"
        )
    speed, memory = results["actions_per_second_ratio"], results["memory_mib_ratio"]
    lines.append(f"| last / first | {speed:.3f} | {memory:.3f} |")
    return "\n".join(lines) + "\n"


def plot(samples: list[Sample]) -> Figure:
    """Actions and memory over time."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    above, below = figure.subplots(2, sharex=True)
    minutes = [sample.seconds / 60 for sample in samples]
    above.plot(minutes, [sample.actions for sample in samples])
    above.set_ylabel("actions")
    below.plot(minutes, [sample.memory for sample in samples])
    below.set_ylabel("memory (MiB)")
    below.set_xlabel("minutes")
    return figure


if __name__ == "__main__":
    prepare_gl(renders=True)
    run_study("endurance", __doc__, EnduranceConfig, lambda config: make_table(run(config)))
