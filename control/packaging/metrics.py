"""Copies measurements of bundles and runs into manifests and model cards."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from opendactyl.control.bundle.load import CARD_FILE, MANIFEST_FILE, POSE_FILE, load_pose_bundle
from opendactyl.control.bundle.model_card import model_card
from opendactyl.core.atomic_files import read_json, sha256, write_json, write_text
from opendactyl.core.errors import InputError
from opendactyl.core.optional_files import exists
from opendactyl.core.run_dir import CONFIG_NAME
from opendactyl.vision.training.checkpoints import best_checkpoint

_LOOP = (
    "task", "pose", "fuse", "renderer", "appearance", "randomization", "seed", "seconds_per_goal",
)  # fmt: skip
_GOALS = (
    "n", "mean_interval_95", "drops", "timeouts", "finished", "diverged", "seconds_per_success",
    "rotation_error_deg_in_loop", "position_error_mm_in_loop", "against",
)  # fmt: skip
_OPTIONAL = ("goals_per_100_actions", "drops_per_1000_actions", "randomization_ranges")
"""Results that evaluations of earlier versions do not have."""
_VISION = ("data", "config_hash", "states", "renderer", "seed")
_ERRORS = (
    "n", "rotation_error_deg", "position_error_mm", "coverage_90_position", "coverage_90_rotation",
    "by_visibility",
)  # fmt: skip


def record(bundle: Path, folders: Sequence[Path]) -> None:
    """Adds evaluations to a bundle's manifest and card; replaces those of the same settings.

    Args:
        bundle: the bundle.
        folders: output folders of `evaluate` and `eval-vision` for this bundle.

    Raises:
        InputError: a folder holds no evaluation, one of another bundle, or one on the samples that
            selected the estimator's checkpoint.
    """
    loaded = load_pose_bundle(bundle)
    manifest = loaded.manifest
    metrics = manifest.setdefault("metrics", {})
    for folder in folders:
        config = read_json(folder / "config.json")
        kind, row = _row(folder, config)
        identity = loaded.identity if kind == "loop" else manifest["sha256"][POSE_FILE]
        if config.get("bundle_sha256") != identity:
            raise InputError(
                f"{folder} holds an evaluation of another bundle than {bundle}; evaluate this one"
            )
        if config.get("chosen_by"):
            raise InputError(
                f"{folder} holds an evaluation on the samples that selected the estimator's "
                "checkpoint; evaluate it on a dataset with another --seed"
            )
        if "augment" in config:
            raise InputError(
                f"{folder} holds an evaluation on images with added effects; evaluate it without "
                "--augment"
            )
        settings = (*_LOOP, "action_delay") if kind == "loop" else _VISION
        rows = [r for r in metrics.get(kind, [])
                if any(r.get(name) != row.get(name) for name in settings)]  # fmt: skip
        metrics[kind] = [*rows, row]
    write_json(bundle / MANIFEST_FILE, manifest)
    write_text(bundle / CARD_FILE, model_card(manifest))


def metrics_of_run(run: Path) -> dict[str, Any]:
    """The metrics in the report of an estimator's run, for a manifest.

    A run that was resumed may hold the report of its earlier weights, which is left out, and so is
    one of other data than the validation's.
    """
    report = run / "report"
    if not exists(report / "metrics.json"):
        return {}
    about = read_json(report / CONFIG_NAME) if exists(report / CONFIG_NAME) else {}
    own = about.get("chosen_by", True) and "augment" not in about
    if not own or about.get("checkpoint_sha256") != sha256(best_checkpoint(run)):
        print(
            f"opendactyl: left out the metrics in {report}, which may be of other weights or data; "
            f"renew them with eval-vision --model {run} --data (the validation data) --out "
            f"{report} --resume",
            file=sys.stderr,
        )
        return {}
    return {"vision": read_json(report / "metrics.json")}


def _row(folder: Path, config: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The manifest's key, `loop` or `sight`, and the row: settings and results."""
    loop = exists(folder / "results.json")
    try:
        if loop:
            results = read_json(folder / "results.json")
            goals = results["consecutive_successes"]
            row = {name: config[name] for name in _LOOP} | {n: results.get(n) for n in _GOALS}
            row |= {name: config[name] for name in ("action_delay",) if name in config}
            row |= {name: results[name] for name in _OPTIONAL if name in results}
            if "rotations" in results:
                row["rotations"] = results["rotations"]["mean"]
            return "loop", row | {name: goals[name] for name in ("mean", "std", "median")}
        errors = read_json(folder / "metrics.json")
        row = {name: config[name] for name in _VISION} | {name: errors[name] for name in _ERRORS}
        # Evaluations of earlier versions have no coverage per axis, rigid objects no hinges.
        optional = ("coverage_90_axes", "hinge_error_deg")
        row |= {name: errors[name] for name in optional if name in errors}
        return "sight", row
    except (KeyError, TypeError) as error:
        raise InputError(f"{folder} does not hold an evaluation ({error!r})") from error
