"""Evaluates a bundle: consecutive goals until a drop, a time-out, or fifty (D18 6.2)."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opendactyl.control.bundle.load import Bundle, load_bundle
from opendactyl.control.evaluation.episode_runner import run_episodes
from opendactyl.control.evaluation.episodes import EpisodeConfig
from opendactyl.control.evaluation.goal_statistics import compare, paired, summarize
from opendactyl.control.evaluation.report import write_report
from opendactyl.core.atomic_files import json_hash, read_json, write_json
from opendactyl.core.config_fields import renamed
from opendactyl.core.errors import InputError
from opendactyl.core.run_dir import open_run, to_plain
from opendactyl.policy.interface.tasks import SELECTION_SEED_OFFSET
from opendactyl.sim.hands.names import CONTROL_PERIOD


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(EpisodeConfig):
    """Settings of `evaluate`."""

    episodes: int = 100
    """Episodes 0 to N - 1, each run to its end."""
    video_seconds: float = renamed(20.0, "film_seconds")
    """Length at most of the film of the median episode; 0 makes none."""
    against: Path | None = None
    """Another evaluation of the same episodes, to compare with in pairs (of --pose sim, say)."""
    out: Path = Path("runs/evaluate")
    """Folder for results.json, report.html and median.mp4."""
    workers: int = 0
    """Processes that run episodes by sight, 0 for one a core; the same episodes for any number."""
    resume: bool = False
    """Continue an interrupted evaluation, or start what is not there yet."""

    def __post_init__(self) -> None:
        """Refuses impossible numbers."""
        super().__post_init__()
        if self.episodes < 1:
            raise InputError(f"--episodes is {self.episodes}; it must be at least 1")
        if self.video_seconds != 0 and not CONTROL_PERIOD <= self.video_seconds < math.inf:
            raise InputError(
                f"--video-seconds is {self.video_seconds}; 0 makes no film, and an action takes "
                f"{CONTROL_PERIOD}"
            )
        if self.workers < 0:
            raise InputError(f"--workers is {self.workers}; it must not be negative")


def evaluate(config: EvaluateConfig) -> dict[str, Any]:
    """Runs the episodes, writes results and report, and returns the results.

    Raises:
        InputError: bad settings or a bad bundle.
    """
    bundle = load_bundle(config.bundle)
    _refuse_training_seed(config, bundle)
    plain = _episodes_settings(config, bundle)
    others = None if config.against is None else paired(config.against, plain)
    out = open_run(config.out, plain, resume=config.resume)
    records = _run(config, out)[: config.episodes]
    results = summarize(records, plain["task"])
    sighted = config.pose == "vision"
    results["offline"] = _offline(bundle, config.renderer, plain["task"]) if sighted else None
    values = results["consecutive_successes"]["values"]
    if others is not None:
        results["against"] = {"pose": others[0]} | compare(values, others[1])
    write_json(out / "results.json", results)
    write_report(out / "report.html", results, plain)
    return results


def _refuse_training_seed(config: EvaluateConfig, bundle: Bundle) -> None:
    trained = bundle.manifest.get("training", {}).get("policy", {}).get("seed")
    if trained is not None and config.seed in (trained, trained + SELECTION_SEED_OFFSET):
        raise InputError(
            f"--seed is {config.seed}, from which the bundle's policy drew the starts and goals it "
            "was trained on or chosen by; take another"
        )


def _episodes_settings(config: EvaluateConfig, bundle: Bundle) -> dict[str, Any]:
    """What decides how episodes go, for `config.json`: an evaluation resumes with the same only."""
    plain = to_plain(config) | {"task": config.task or bundle.task}
    # Another bundle, or another file, may come to lie under the same name.
    plain["bundle_sha256"] = bundle.identity
    for name, loaded in (("randomization", config.ranges), ("appearance", config.look)):
        plain[f"{name}_sha256"] = json_hash(to_plain(loaded))
    for name in ("bundle", "out", "resume", "episodes", "film_seconds", "against", "workers"):
        del plain[name]
    return plain


def _run(config: EvaluateConfig, out: Path) -> list[dict[str, Any]]:
    """The records of all episodes; those that were run before are read."""
    path = out / "episodes.json"
    records: list[dict[str, Any]] = read_json(path) if path.exists() else []
    for new in run_episodes(config, len(records), config.episodes, config.workers):
        records += new
        write_json(path, records)
    return records


def _offline(bundle: Bundle, renderer: str, task: str) -> dict[str, Any] | None:
    """The estimator's errors on single samples of a renderer, as the bundle tells them.

    Unseen samples of a policy's states, best of one for this task, are the likest to what the loop
    meets; without any there are those of the samples that it was chosen by.
    """
    metrics = bundle.manifest.get("metrics", {})
    unseen = [row for row in metrics.get("sight", []) if row["renderer"] == renderer]
    unseen.sort(key=lambda row: (row["states"][:6] == "policy", Path(row["states"]).name == task))
    told = unseen[-1] if unseen else metrics.get("vision")
    if told is None:
        return None
    return {
        "samples": f"{told['states']}, {renderer}" if unseen else "validation samples",
        "n": told["n"],
        "rotation_error_deg": told["rotation_error_deg"]["mean"],
        "position_error_mm": told["position_error_mm"]["mean"],
        "by_visibility": told.get("by_visibility", []),
    }
