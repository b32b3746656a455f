"""Evaluates a bundle: consecutive goals until a drop, a time-out, or fifty (D18 6.2)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from opendactyl.control.bundle import Bundle, load_bundle
from opendactyl.control.loop import Loop
from opendactyl.control.poses import POSE_SOURCES, PoseSource, SimPose, VisionPose
from opendactyl.control.report import write_report
from opendactyl.files.atomic import read_json, write_json
from opendactyl.files.errors import InputError
from opendactyl.files.runs import open_run, to_plain
from opendactyl.policy.env import DIVERGED, DROPPED, FINISHED, TIMED_OUT, EnvConfig, HandEnv
from opendactyl.policy.tasks import EVALUATION_SECONDS, check_task
from opendactyl.sim.names import CONTROL_PERIOD

BATCH = {"sim": 128, "vision": 8}
"""Episodes that run at once; each is the same whatever runs beside it."""
OUTCOMES = {DROPPED: "drop", TIMED_OUT: "timeout", FINISHED: "finished", DIVERGED: "diverged"}


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """Settings of `evaluate`."""

    bundle: Path = Path("exports/bundle")
    """The bundle to evaluate."""
    pose: str = "sim"
    """Where the pose comes from: sim or vision."""
    task: str = ""
    """spin, face-up or reorient; default the bundle's own."""
    appearance: str = "dactyl"
    """Appearance preset or TOML file, drawn once an episode."""
    renderer: str = "classic"
    """`classic` or `filament`."""
    episodes: int = 100
    """Episodes 0 to N - 1, each run to its end."""
    seed: int = 1000
    """Seed of starts, goals and appearances."""
    seconds_per_goal: float = EVALUATION_SECONDS
    """An episode ends when a goal is not reached for this long."""
    out: Path = Path("runs/evaluate")
    """Folder for results.json and report.html."""
    resume: bool = False
    """Continue an interrupted evaluation, or start what is not there yet."""


def evaluate(config: EvaluateConfig) -> dict[str, Any]:
    """Runs the episodes, writes `results.json` and `report.html`, and returns the results.

    Raises:
        InputError: bad settings or a bad bundle.
    """
    if config.pose not in POSE_SOURCES:
        raise InputError(f"no pose source {config.pose!r}; choose {' or '.join(POSE_SOURCES)}")
    if config.episodes < 1:
        raise InputError(f"--episodes is {config.episodes}; it must be at least 1")
    bundle = load_bundle(config.bundle)
    task = config.task or bundle.task
    check_task(task)
    plain = to_plain(config) | {"task": task}
    for name in ("out", "resume", "episodes"):
        del plain[name]
    out = open_run(config.out, plain, resume=config.resume)
    records = read_json(out / "episodes.json") if (out / "episodes.json").exists() else []
    source = pose_source(config, bundle)
    try:
        with tqdm(
            total=config.episodes, initial=len(records), unit="episode", desc=config.pose
        ) as bar:
            while len(records) < config.episodes:
                count = min(BATCH[config.pose], config.episodes - len(records))
                records += _run_batch(config, bundle, task, source, len(records), count, bar)
                write_json(out / "episodes.json", records)
    finally:
        source.close()
    results = summarize(records[: config.episodes], task)
    write_json(out / "results.json", results)
    write_report(out / "report.html", results, plain)
    return results


def pose_source(config: EvaluateConfig, bundle: Bundle) -> PoseSource:
    """The pose source a configuration asks for."""
    if config.pose == "sim":
        return SimPose()
    return VisionPose(bundle, config.renderer, config.appearance, config.seed)


def make_env(
    bundle: Bundle, task: str, count: int, *, seed: int, first: int, limit: float
) -> HandEnv:
    """An environment of `count` evaluation episodes, the first numbered `first`."""
    settings = EnvConfig(
        task=task, object=bundle.object_name, seconds_per_goal=limit, evaluation=True
    )
    return HandEnv(settings, count, seed=seed, first_episode=first)


def _run_batch(
    config: EvaluateConfig,
    bundle: Bundle,
    task: str,
    source: PoseSource,
    first: int,
    count: int,
    bar: "tqdm[Any]",
) -> list[dict[str, Any]]:
    env = make_env(
        bundle, task, count, seed=config.seed, first=first, limit=config.seconds_per_goal
    )
    loop = Loop(bundle, env, source)
    records: list[dict[str, Any]] = [
        {"episode": first + i, "actions": 0, "rotation_error_rad": 0.0, "position_error_m": 0.0}
        for i in range(count)
    ]
    while env.running.any():
        which = np.flatnonzero(env.running)
        step = loop.step()
        for i in which:
            record = records[i]
            record["actions"] += 1
            record["rotation_error_rad"] += float(loop.error_rad[i])
            record["position_error_m"] += float(loop.error_m[i])
            if not env.running[i]:
                record["goals"] = int(step.goals[i])
                record["outcome"] = OUTCOMES[int(step.outcome[i])]
                bar.update()
    return records


def summarize(records: list[dict[str, Any]], task: str) -> dict[str, Any]:
    """The contents of `results.json`, from the episodes' records."""
    goals = np.array([r["goals"] for r in records])
    actions = np.array([r["actions"] for r in records])
    ends = [r["outcome"] for r in records]
    total = int(goals.sum())
    return {
        "n": len(records),
        "task": task,
        "consecutive_successes": {
            "mean": float(goals.mean()),
            "std": float(goals.std()),
            "median": float(np.median(goals)),
            "values": goals.tolist(),
        },
        "drops": ends.count("drop"),
        "timeouts": ends.count("timeout"),
        "finished": ends.count("finished"),
        "diverged": ends.count("diverged"),
        "seconds_per_success": float(actions.sum() * CONTROL_PERIOD / total) if total else None,
        "actions": int(actions.sum()),
        "rotation_error_deg_in_loop": float(
            np.rad2deg(sum(r["rotation_error_rad"] for r in records) / actions.sum())
        ),
        "position_error_mm_in_loop": float(
            sum(r["position_error_m"] for r in records) / actions.sum() * 1000
        ),
    }
