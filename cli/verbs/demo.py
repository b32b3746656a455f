"""`opendactyl demo`: the whole chain at a small size, from images to a video."""

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opendactyl.cli.bundles import shipped_weights
from opendactyl.cli.options import parse
from opendactyl.cli.verb_list import RESUMABLE
from opendactyl.core.atomic_files import read_json
from opendactyl.core.errors import (
    ENVIRONMENT_STATUS,
    INPUT_STATUS,
    EnvironmentFailure,
    InputError,
    OpenDactylError,
)
from opendactyl.core.run_dir import announce, new_folder, removed_on_failure
from opendactyl.render.opengl.backend import choose_backend

INTERRUPTED_STATUS = 130
IMAGE_SIZE = 128
"""Small images, for an estimator of one stage."""
SAMPLE_SECONDS, SAMPLE_BYTES = 0.04, 180_000
"""Time and disk space of a sample with its decoded images, on two cores."""
STEPS_SECONDS, RUNS_BYTES = 150, 200e6
"""Time of the other steps, and disk space of the runs."""


@dataclass(frozen=True, kw_only=True)
class DemoConfig:
    """Settings of `demo`."""

    out: Path = Path("demo")
    """Folder for all outputs."""
    samples: int = 3000
    """Training samples to render."""
    vision_minutes: float = 4.0
    """Training time of the estimator."""
    policy_minutes: float = 3.0
    """Training time of the policy."""
    episodes: int = 6
    """Episodes of each evaluation."""
    seconds_per_goal: float = 8.0
    """Time limit of each goal in both evaluations; the default of `evaluate` is ten times that."""
    from_scratch: bool = False
    """Train from random weights instead of from the shipped weights, which needs hours: raise
    --vision-minutes and --policy-minutes."""
    resume: bool = False
    """Continue an interrupted demo, or start a new one."""


def main(argv: list[str]) -> None:
    """Runs the verbs one after the other."""
    config = parse(
        DemoConfig,
        "demo",
        argv,
        "Renders a dataset, trains an estimator and a policy, exports both and closes the loop.",
    )
    minutes = min(config.vision_minutes, config.policy_minutes)
    if config.samples < 10 or min(minutes, config.seconds_per_goal, config.episodes) <= 0:
        raise InputError("--samples must be at least 10, and times and episodes positive")
    choose_backend()
    out = new_folder(config.out, resume=config.resume)
    announce(
        out,
        60 * (config.vision_minutes + config.policy_minutes)
        + STEPS_SECONDS
        + SAMPLE_SECONDS * config.samples,
        SAMPLE_BYTES * config.samples + RUNS_BYTES,
    )
    began = time.monotonic()
    with removed_on_failure(out, lambda: any(path.is_file() for path in out.rglob("*"))):
        for title, verb, options in _steps(config, out):
            print(f"\n== {title}", flush=True)
            _run(verb, options)
    print(_table(out, config.seconds_per_goal))
    print(f"the demo took {(time.monotonic() - began) / 60:.1f} minutes; its outputs are:")
    for what, path in _outputs(out):
        print(f"  {what:<24}{path}")


def _steps(config: DemoConfig, out: Path) -> list[tuple[str, str, list[str]]]:
    """Titles, verbs and options."""
    data, val, bundle = out / "data/train", out / "data/val", out / "bundle"
    vision, policy = out / "vision", out / "policy"
    size = max(config.samples // 10, 2)
    short = ["--episodes", config.episodes, "--seconds-per-goal", config.seconds_per_goal]
    short += ["--video-seconds", 0]
    estimator = ["--data", data, "--val-data", val, "--out", vision]
    estimator += ["--max-minutes", config.vision_minutes]
    controller = ["--out", policy, "--max-minutes", config.policy_minutes, "--num-envs", 256]
    vision_start, policy_start = _initial_weights(config)
    loop = ["--bundle", bundle, "--pose"]
    steps = [
        ("render training data", "dataset", _dataset(data, config.samples, 0)),
        ("render validation data", "dataset", _dataset(val, size, 1)),
        ("draw a contact sheet", "preview", ["--data", data, "--out", out / "contact-sheet.png"]),
        ("train the estimator", "train-vision", estimator + vision_start),
        ("train the policy", "train-policy", controller + policy_start),
        ("export", "export", ["--vision", vision, "--policy", policy, "--out", bundle]),
        (
            "close the loop with the true pose",
            "evaluate",
            [*loop, "sim", "--out", out / "evaluate-sim", *short],
        ),
        (
            "close the loop with the estimated pose",
            "evaluate",
            [*loop, "vision", "--out", out / "evaluate-vision", *short],
        ),
        (
            "record a video",
            "run",
            ["--bundle", bundle, "--seconds", 12, "--video", out / "run.mp4"],
        ),
    ]
    return [
        (title, verb, [str(o) for o in options] + ["--resume"] * (verb in RESUMABLE))
        for title, verb, options in steps
    ]


def _dataset(out: Path, samples: int, seed: int) -> list[Any]:
    """Options of `dataset`."""
    return ["--out", out, "--num-samples", samples, "--seed", seed, "--image-size", IMAGE_SIZE]


def _initial_weights(config: DemoConfig) -> tuple[list[Any], list[Any]]:
    """Options of `train-vision` and of `train-policy` that name the initial weights."""
    if config.from_scratch:
        return ["--preset", "quick", "--from-scratch"], []
    weights = shipped_weights()
    if weights is None:
        raise InputError("this installation has no weights to start from; add --from-scratch")
    # Low learning rates, so that minutes of training do not undo hours of it.
    vision = ["--warm-start", weights / "pose.safetensors", "--learning-rate", 2e-4]
    policy = ["--warm-start", weights / "policy-spin.safetensors", "--learning-rate", 1e-4]
    return vision, [*policy, "--teacher-fraction", 0, "--distillation-fraction", 0, "--horizon", 32]


def _run(verb: str, options: list[str]) -> None:
    """Runs a verb in a subprocess; raises the error of its exit status."""
    command = [sys.executable, "-P", "-m", "opendactyl.cli.main", verb, *options]
    print("opendactyl", verb, *options, flush=True)
    status = subprocess.run(command, check=False).returncode
    if status == 0:
        return
    if status == INTERRUPTED_STATUS:
        raise KeyboardInterrupt
    kinds = {INPUT_STATUS: InputError, ENVIRONMENT_STATUS: EnvironmentFailure}
    # A negative status is a signal, such as that of the kernel when memory runs out.
    kind = EnvironmentFailure if status < 0 else kinds.get(status, OpenDactylError)
    raise kind(f"the step `opendactyl {verb}` ended with status {status}; see above")


def _table(out: Path, seconds_per_goal: float) -> str:
    """The measured errors and goals."""
    vision = read_json(out / "vision/report/metrics.json")
    lines = [
        "",
        f"pose estimation, n = {vision['n']} samples of the validation set: rotation "
        f"{vision['rotation_error_deg']['mean']:.1f}° mean, position "
        f"{vision['position_error_mm']['mean']:.1f} mm mean",
        f"consecutive goals, {seconds_per_goal:g} s for each:",
    ]
    for pose in ("sim", "vision"):
        results = read_json(out / f"evaluate-{pose}/results.json")
        goals = results["consecutive_successes"]
        lines.append(
            f"  pose from {pose:<8} n = {results['n']}: mean {goals['mean']:.1f}, "
            f"median {goals['median']:g}"
        )
    return "\n".join(lines) + "\n"


def _outputs(out: Path) -> list[tuple[str, Path]]:
    return [
        ("contact sheet", out / "contact-sheet.png"),
        ("estimator's report", out / "vision/report/report.html"),
        ("learning curves", out / "policy/metrics.csv"),
        ("bundle", out / "bundle"),
        ("loop, true pose", out / "evaluate-sim/report.html"),
        ("loop, estimated pose", out / "evaluate-vision/report.html"),
        ("video", out / "run.mp4"),
    ]
