"""How well logs tell the parameters of a hand: fits of simulated robots whose parameters are known.

    python -P -m opendactyl.benchmarks.studies.calibration --twins 20 --out runs/calibration

The parameters are drawn from preset `dactyl`, with a delay of its own for each actuator; the logs
have encoder noise, jitter, missing samples and another rate. With `--other-physics` the robot is
simulated with steps, integrator and friction cones that are not those of the fit. Finished fits are
not repeated.
"""

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from opendactyl.benchmarks.support.study import prepare_gl, run_study
from opendactyl.benchmarks.support.twins import Twin, TwinConfig
from opendactyl.core.atomic_files import read_json, write_json, write_text
from opendactyl.core.optional_files import exists
from opendactyl.core.run_dir import open_run, to_plain
from opendactyl.geometry.rotation import Array
from opendactyl.policy.calibration.calibrate import Calibration, calibrate
from opendactyl.policy.calibration.plan import PlanConfig, make_plan

KINDS = ("gain", "damping", "delay", "offset", "slack_down", "slack_up")
DELAY_BOUND = 0.01
"""Errors of delays, in seconds, within which the table gives their fraction."""
CHANGEABLE = ("out", "twins", "first", "threads")
"""Settings that do not change the fit of a twin."""


@dataclass(frozen=True, kw_only=True)
class StudyConfig:
    """Settings of the study."""

    hand: str = "shadow"
    """The hand."""
    twins: int = 20
    """Simulated robots."""
    first: int = 0
    """Seed of the first."""
    seconds: float = 180.0
    """Duration of each log."""
    efforts: bool = False
    """Log torques, too."""
    other_physics: bool = False
    """Simulate the robots with 2 ms Euler steps and elliptic friction cones."""
    threads: int = 0
    """Threads of the simulations; 0: one for each core."""
    out: Path = Path("runs/calibration")
    """Folder for table.md and results.json."""


@dataclass(frozen=True)
class Result:
    """Errors of one fit.

    Coordinates of gains, damping and the rates at which slack is taken up are logarithms, those of
    delays are in seconds, of offsets in radians.
    """

    seed: int
    errors: dict[str, list[float]]
    """Of the coordinates of the parameters of excited joints, by kind, with their sign."""
    deviations: dict[str, list[float]]
    """Estimated deviations of these."""
    covered: dict[str, list[bool]]
    """Whether the 90 % interval of each holds the truth."""
    before: float
    after: float
    """Errors over 1 s in held-out windows, in radians."""
    seconds: float
    """Duration of the fit."""


def run(config: StudyConfig) -> list[Result]:
    """Fits every twin, and writes table and results after each.

    Raises:
        InputError: there is no such hand, or the folder has fits of other settings.
    """
    plan = make_plan(config.hand, PlanConfig(seconds=config.seconds))
    settings = {k: v for k, v in to_plain(config).items() if k not in CHANGEABLE}
    open_run(config.out, settings, resume=True)
    results = []
    for seed in tqdm(range(config.first, config.first + config.twins), unit="twin"):
        path = config.out / f"twin-{seed}.json"
        if not exists(path):
            write_json(path, dataclasses.asdict(_fit(config, seed, plan)))
        results.append(Result(**read_json(path)))
        rows = [dataclasses.asdict(result) for result in results]
        write_json(config.out / "results.json", {"settings": to_plain(config), "rows": rows})
        write_text(config.out / "table.md", make_table(results))
    return results


def _fit(config: StudyConfig, seed: int, plan: Array) -> Result:
    settings = {n: getattr(config, n) for n in ("hand", "efforts", "other_physics")}
    twin = Twin(TwinConfig(seed=seed, **settings))
    log, began = twin.play(plan), time.perf_counter()
    fitted = calibrate(log, config.hand, threads=config.threads)
    return _result(seed, twin, fitted, time.perf_counter() - began)


def _result(seed: int, twin: Twin, fitted: Calibration, seconds: float) -> Result:
    space, known, x = fitted.predictor.space, fitted.intervals, fitted.fit.x
    transmission, excited = twin.scene.transmission, fitted.excited
    moved = (excited[transmission.joints] & (transmission.weights != 0)).any(axis=1)
    errors, deviations, covered = {}, {}, {}
    for kind in KINDS:
        part, truth = space.slices[kind], _truth(kind, twin)
        chosen = excited if kind in ("damping", "offset") else moved
        errors[kind] = (x[part] - truth)[chosen].tolist()
        deviations[kind] = known.deviation[part][chosen].tolist()
        inside = (known.low[part] <= truth) & (truth <= known.high[part])
        covered[kind] = inside[chosen].tolist()
    return Result(seed, errors, deviations, covered, *fitted.errors, seconds)


def _truth(kind: str, twin: Twin) -> Array:
    """The coordinates of the true parameters of a kind."""
    physics = twin.physics
    values = {
        "gain": np.log(physics.actuator_gain),
        "damping": np.log(physics.joint_damping),
        "delay": twin.delays,
        "offset": physics.joint_offset,
        "slack_down": np.log(physics.backlash[0]),
        "slack_up": np.log(physics.backlash[1]),
    }
    return values[kind]


def make_table(results: list[Result]) -> str:
    """A Markdown table over all twins."""
    lines = [
        f"{len(results)} twins",
        "",
        "| parameter | n | median error | 90th percentile | in the 90 % interval |",
        "|---|---|---|---|---|",
    ]
    for kind in KINDS:
        errors = np.abs(np.concatenate([result.errors[kind] for result in results]))
        covered = np.concatenate([result.covered[kind] for result in results])
        scale, unit = {"delay": (1e3, " ms"), "offset": (1e3, " mrad")}.get(kind, (100, " %"))
        errors = errors if kind in ("delay", "offset") else np.expm1(errors)
        median, high = np.percentile(errors, [50, 90]) * scale
        lines.append(
            f"| {kind} | {len(errors)} | {median:.2g}{unit} | {high:.2g}{unit} | "
            f"{covered.mean():.0%} |"
        )
    covered = [inside for result in results for kind in KINDS for inside in result.covered[kind]]
    lines.append(f"| all | {len(covered)} | | | {np.mean(covered):.0%} |")
    delays = np.abs(np.concatenate([result.errors["delay"] for result in results]))
    ratio = [result.before / result.after for result in results]
    seconds = [result.seconds for result in results]
    lines += [
        "",
        f"Delays within {1e3 * DELAY_BOUND:.0f} ms: {np.mean(delays <= DELAY_BOUND):.0%}. "
        f"Error over 1 s: {1e3 * np.mean([r.before for r in results]):.1f} mrad before, "
        f"{1e3 * np.mean([r.after for r in results]):.1f} mrad after; ratio {min(ratio):.1f} to "
        f"{max(ratio):.1f}. A fit took {min(seconds):.0f} to {max(seconds):.0f} s.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    prepare_gl(renders=False)
    run_study("calibration", __doc__, StudyConfig, lambda config: make_table(run(config)))
