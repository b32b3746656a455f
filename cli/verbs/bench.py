"""`opendactyl bench`: compares speed with other implementations, side by side in one run."""

import os
import warnings
from dataclasses import dataclass
from pathlib import Path

from opendactyl.cli.bundles import default_bundle
from opendactyl.cli.options import parse
from opendactyl.render.opengl.backend import choose_backend


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """Settings of `bench`."""

    suite: str = "all"
    """render, env, vision, policy, loop, or all."""
    out: Path = Path("runs/bench.json")
    """The JSON file to write."""
    full: bool = False
    """Measure the long curves as well, and plot them in an HTML file beside the JSON one; suite
    policy also trains until 25 goals, against RecurrentPPO, which takes hours. Without, a suite
    takes at most five minutes with the default of --seconds."""
    seconds: float = 30.0
    """Measuring time for each side of a comparison."""
    realtime: str = "auto"
    """Scheduling of the loop whose latency is measured: auto, which is real-time where the system
    allows it, or off."""
    resume: bool = False
    """Continue an interrupted run: measure what is not in the JSON file yet."""


def main(argv: list[str]) -> None:
    """Prints a table for each suite and writes the JSON file."""
    config = parse(
        BenchConfig,
        "bench",
        argv,
        "Measures speed. Every row is a ratio taken in one run, above 1 when ours is better.",
    )
    choose_backend()
    # The warnings of the other packages would hide the table.
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    warnings.simplefilter("ignore")
    from opendactyl.benchmarks.measure import Budget
    from opendactyl.benchmarks.report import SUITES, run_suites
    from opendactyl.control.runtime.realtime import check_mode

    names = SUITES if config.suite == "all" else (config.suite,)
    check_mode(config.realtime)
    budget = Budget(
        seconds=config.seconds, full=config.full, bundle=default_bundle(), realtime=config.realtime
    )
    run_suites(names, budget, config.out, print, resume=config.resume)
    print(f"rows in {config.out}")
