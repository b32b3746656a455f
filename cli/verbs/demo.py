"""`opendactyl demo`: the whole chain at a small size, from images to a film."""

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
from opendactyl.core.errors import InputError
from opendactyl.core.run_dir import new_folder


@dataclass(frozen=True, kw_only=True)
class DemoConfig:
    """Settings of `demo`."""

    out: Path = Path("demo")
    """Folder for everything the demo makes."""
    samples: int = 3000
    """Training samples to render."""
    vision_minutes: float = 4.0
    """Time for the estimator."""
    policy_minutes: float = 3.0
    """Time for the policy."""
    episodes: int = 6
    """Episodes of each evaluation."""
    seconds_per_goal: float = 8.0
    """Time for each goal in both evaluations; `evaluate` gives ten times as much."""
    from_scratch: bool = False
    """Train fresh networks, which need hours, not minutes; otherwise training goes on from the
    weights that ship."""
    resume: bool = False
    """Continue an interrupted demo, or start what is not there yet."""


def main(argv: list[str]) -> None:
    """Runs the verbs one after the other, as a user would."""
    config = parse(
        DemoConfig,
        "demo",
        argv,
        "Renders a dataset, trains an estimator and a policy, exports both and closes the loop.",
    )
    minutes = min(config.vision_minutes, config.policy_minutes)
    if config.samples < 10 or min(minutes, config.seconds_per_goal, config.episodes) <= 0:
        raise InputError("--samples must be at least 10, and times and episodes positive")
    out = new_folder(config.out, resume=config.resume)
    began = time.monotonic()
    for title, verb, options in _steps(config, out):
        print(f"\n== {title}", flush=True)
        _run(verb, options)
    print(_table(out, config.seconds_per_goal))
    print(f"the demo took {(time.monotonic() - began) / 60:.1f} minutes; it left behind:")
    for what, path in _artefacts(out):
        print(f"  {what:<24}{path}")


def _steps(config: DemoConfig, out: Path) -> list[tuple[str, str, list[str]]]:
    """Titles, verbs and options."""
    data, val, bundle = out / "data/train", out / "data/val", out / "bundle"
    vision, policy = out / "vision", out / "policy"
    size = max(config.samples // 10, 2)
    short = ["--episodes", config.episodes, "--seconds-per-goal", config.seconds_per_goal]
    short += ["--video-seconds", 0]
    see = ["--data", data, "--val-data", val, "--out", vision]
    see += ["--max-minutes", config.vision_minutes]
    act = ["--out", policy, "--max-minutes", config.policy_minutes, "--num-envs", 256]
    see_start, act_start = _starts(config)
    loop = ["--bundle", bundle, "--pose"]
    steps = [
        ("render training data", "dataset", ["--out", data, "--num-samples", config.samples]),
        ("render validation data", "dataset", ["--out", val, "--num-samples", size, "--seed", 1]),
        ("draw a contact sheet", "preview", ["--data", data, "--out", out / "contact-sheet.png"]),
        ("train the estimator", "train-vision", see + see_start),
        ("train the policy", "train-policy", act + act_start),
        ("export", "export", ["--vision", vision, "--policy", policy, "--out", bundle]),
        (
            "close the loop on the true pose",
            "evaluate",
            [*loop, "sim", "--out", out / "evaluate-sim", *short],
        ),
        (
            "close the loop by sight",
            "evaluate",
            [*loop, "vision", "--out", out / "evaluate-vision", *short],
        ),
        ("film it", "run", ["--bundle", bundle, "--seconds", 12, "--video", out / "run.mp4"]),
    ]
    return [
        (title, verb, [str(o) for o in options] + ["--resume"] * (verb in RESUMABLE))
        for title, verb, options in steps
    ]


def _starts(config: DemoConfig) -> tuple[list[Any], list[Any]]:
    """Where the training of the estimator and that of the policy begin, as their options."""
    if config.from_scratch:
        return ["--preset", "quick"], []
    weights = shipped_weights()
    if weights is None:
        raise InputError("this installation has no weights to start from; add --from-scratch")
    # Steps small enough that minutes of training do not undo what hours have learned.
    vision = ["--warm-start", weights / "pose.safetensors", "--learning-rate", 2e-4]
    policy = ["--warm-start", weights / "policy-spin.safetensors", "--learning-rate", 1e-4]
    return vision, [*policy, "--teacher-fraction", 0, "--distillation-fraction", 0, "--horizon", 32]


def _run(verb: str, options: list[str]) -> None:
    """Runs a verb in a process of its own, so that each starts with a clean slate."""
    command = [sys.executable, "-P", "-m", "opendactyl.cli.main", verb, *options]
    print("opendactyl", verb, *options, flush=True)
    status = subprocess.run(command, check=False).returncode
    if status:
        raise InputError(f"the step `opendactyl {verb}` ended with status {status}; see above")


def _table(out: Path, seconds_per_goal: float) -> str:
    """What was measured."""
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


def _artefacts(out: Path) -> list[tuple[str, Path]]:
    return [
        ("contact sheet", out / "contact-sheet.png"),
        ("estimator's report", out / "vision/report/report.html"),
        ("learning curves", out / "policy/metrics.csv"),
        ("bundle", out / "bundle"),
        ("loop on the true pose", out / "evaluate-sim/report.html"),
        ("loop by sight", out / "evaluate-vision/report.html"),
        ("film", out / "run.mp4"),
    ]
