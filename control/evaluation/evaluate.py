"""Evaluates a bundle: consecutive goals until a drop, a time-out, or fifty (D18 6.2)."""

import json
import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opendactyl.control.bundle.load import Bundle, load_bundle
from opendactyl.control.bundle.manifest import training_seeds
from opendactyl.control.evaluation.episode_runner import run_episodes
from opendactyl.control.evaluation.episodes import EpisodeConfig
from opendactyl.control.evaluation.goal_statistics import (
    NAMES,
    compare_paired,
    load_paired,
    summarize,
)
from opendactyl.control.evaluation.report import write_report
from opendactyl.core.atomic_files import json_hash, read_json, write_json
from opendactyl.core.config_fields import renamed
from opendactyl.core.cpu import cores
from opendactyl.core.errors import InputError
from opendactyl.core.optional_files import exists
from opendactyl.core.run_dir import announce, open_run, removed_on_failure, to_plain
from opendactyl.policy.interface.tasks import SELECTION_SEED_OFFSET
from opendactyl.sim.timing import CONTROL_PERIOD

REPORT_BYTES = 3e6
"""Size of the report and the video of the median episode."""
EPISODES_FILE = "episodes.json"
"""The records of the episodes that were run, which --resume continues from."""


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(EpisodeConfig):
    """Settings of `evaluate`."""

    episodes: int = 100
    """Number of episodes, each run to its end."""
    video_seconds: float = renamed(20.0, "film_seconds")
    """Maximum length of the video of the median episode; 0 records none."""
    against: Path | None = None
    """Folder of another evaluation of the same episodes, for a paired comparison (with --pose sim,
    for example)."""
    out: Path = Path("runs/evaluate")
    """Output folder: results.json, report.html and median.mp4."""
    workers: int = 0
    """Processes for vision episodes, 0 for one per core; results do not depend on it."""
    imitate: Path | None = None
    """Imitate the demonstration in this folder instead: how often its program is carried out."""
    resume: bool = False
    """Continue an interrupted evaluation, or start a new one."""

    def __post_init__(self) -> None:
        """Raises an `InputError` for values out of range."""
        super().__post_init__()
        if self.episodes < 1:
            raise InputError(f"--episodes is {self.episodes}; it must be at least 1")
        if self.video_seconds != 0 and not CONTROL_PERIOD <= self.video_seconds < math.inf:
            raise InputError(
                f"--video-seconds is {self.video_seconds}; it must be 0, for no video, or at least "
                f"{CONTROL_PERIOD}"
            )
        if self.workers < 0:
            raise InputError(f"--workers is {self.workers}; it must not be negative")


def evaluate(config: EvaluateConfig) -> dict[str, Any]:
    """Runs the episodes, writes results and report, and returns the results.

    Raises:
        InputError: the settings or the bundle cannot be used, or the policy was trained on --seed.
        EnvironmentFailure: the disk, the renderer or a worker process failed.
    """
    bundle = load_bundle(config.bundle)
    refuse_training_seed(config.seed, bundle)
    plain = _episodes_settings(config, bundle)
    others = None if config.against is None else load_paired(config.against, plain)
    out = config.out
    with removed_on_failure(out, lambda: exists(out / EPISODES_FILE)):
        open_run(out, plain, resume=config.resume, names=NAMES)
        records = _run(config, out)[: config.episodes]
    results = summarize(records, plain["task"])
    vision = config.pose == "vision"
    results["offline"] = _offline(bundle, config.renderer, plain["task"]) if vision else None
    results["randomization_ranges"] = to_plain(config.randomization_ranges)
    values = results["consecutive_successes"]["values"]
    if others is not None:
        results["against"] = {"pose": others[0]} | compare_paired(values, others[1])
    write_json(out / "results.json", results)
    write_report(out / "report.html", results, plain)
    return results


def refuse_training_seed(seed: int, bundle: Bundle) -> None:
    """Checks that the policy and its ancestors were neither trained nor selected on `seed`.

    Raises:
        InputError: they were.
    """
    seeds, complete = training_seeds(bundle.manifest)
    if seed in {own + offset for own in seeds for offset in (0, SELECTION_SEED_OFFSET)}:
        raise InputError(
            f"--seed is {seed}, from which the initial states and goals of the policy's "
            "training or checkpoint selection were sampled, or those of a policy it was trained "
            "from; choose another"
        )
    if not complete:
        print(
            f"opendactyl: the training seeds of the policy's ancestors are unknown; --seed "
            f"{seed} may be one of them",
            file=sys.stderr,
        )


def _episodes_settings(config: EvaluateConfig, bundle: Bundle) -> dict[str, Any]:
    """The settings that determine the episodes, for `config.json`; resuming requires the same."""
    plain = to_plain(config) | {"task": config.task or bundle.task}
    # Names may come to refer to another bundle or file.
    plain["bundle_sha256"] = bundle.identity
    ranges = (config.randomization_ranges, config.appearance_ranges)
    for name, loaded in zip(NAMES, ranges, strict=True):
        plain[f"{name}_sha256"] = json_hash(to_plain(loaded))
    for name in ("bundle", "out", "resume", "episodes", "film_seconds", "against", "workers",
                 "imitate"):  # fmt: skip
        del plain[name]
    if not config.action_delay:  # as in evaluations of earlier versions
        del plain["action_delay"]
    return plain


def _run(config: EvaluateConfig, out: Path) -> list[dict[str, Any]]:
    """The records of all episodes, read or run."""
    path = out / EPISODES_FILE
    records: list[dict[str, Any]] = read_json(path) if exists(path) else []
    began, done = time.monotonic(), len(records)
    for new in run_episodes(config, len(records), config.episodes, config.workers):
        if len(records) == done:
            _announce(config, out, time.monotonic() - began, new, config.episodes - done)
        records += new
        write_json(path, records)
    return records


def _announce(
    config: EvaluateConfig, out: Path, seconds: float, first: list[dict[str, Any]], episodes: int
) -> None:
    """Says how long the other episodes will take, from the time of the first batch."""
    parallel = 1 if config.pose == "sim" else config.workers or cores()
    remaining = max(episodes - parallel * len(first), 0) / (parallel * len(first))
    record_bytes = len(json.dumps(first)) / len(first)
    announce(out, remaining * seconds, episodes * record_bytes + REPORT_BYTES)


def _offline(bundle: Bundle, renderer: str, task: str) -> dict[str, Any] | None:
    """The estimator's errors on single samples of a renderer, from the bundle's manifest.

    Test samples of a policy's states, preferably of this task, are the most similar to the loop's;
    without any, the errors on the validation samples are returned.
    """
    metrics = bundle.manifest.get("metrics", {})
    tests = [row for row in metrics.get("sight", []) if row["renderer"] == renderer]
    tests.sort(key=lambda row: (row["states"][:6] == "policy", Path(row["states"]).name == task))
    chosen = tests[-1] if tests else metrics.get("vision")
    if chosen is None:
        return None
    return {
        "samples": f"{chosen['states']}, {renderer}" if tests else "validation samples",
        "n": chosen["n"],
        "rotation_error_deg": chosen["rotation_error_deg"]["mean"],
        "position_error_mm": chosen["position_error_mm"]["mean"],
        "by_visibility": chosen.get("by_visibility", []),
    }
