"""Statistics of episodes: `results.json`, its confidence intervals, and paired comparisons."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opendactyl.control.bundle.manifest import source_name
from opendactyl.core.atomic_files import read_json
from opendactyl.core.errors import InputError
from opendactyl.geometry.rotation import Array
from opendactyl.sim.timing import CONTROL_PERIOD
from opendactyl.vision.measures.metrics import bootstrap_interval, by_visibility

RESAMPLES = 10_000
"""Bootstrap resamples per confidence interval."""
NAMES = ("randomization", "appearance")
"""Settings that name ranges, whose contents `config.json` states as `NAME_sha256`."""
_MAY_DIFFER = ("pose", "fuse", "renderer", "appearance_sha256", *NAMES)
"""Settings that may differ between paired evaluations."""
_LEFT_OUT = {"action_delay": 0}
"""Settings that `config.json` leaves out while they have these values."""


def summarize(records: list[dict[str, Any]], task: str) -> dict[str, Any]:
    """The contents of `results.json`, from the episodes' records."""
    goals = np.array([r["goals"] for r in records])
    actions = int(sum(r["actions"] for r in records))
    ends = [r["outcome"] for r in records]
    total = int(goals.sum())
    rotations = [r["rotations"] for r in records if "rotations" in r]
    return {
        "n": len(records),
        "task": task,
        "consecutive_successes": _distribution(goals),
        **({"rotations": _distribution(np.array(rotations))} if rotations else {}),
        "mean_interval_95": list(bootstrap_interval(goals, resamples=RESAMPLES)),
        "drops": ends.count("drop"),
        "timeouts": ends.count("timeout"),
        "finished": ends.count("finished"),
        "diverged": ends.count("diverged"),
        "seconds_per_success": float(actions * CONTROL_PERIOD / total) if total else None,
        "goals_per_100_actions": 100 * total / actions,
        "drops_per_1000_actions": 1000 * ends.count("drop") / actions,
        "actions": actions,
        "actions_without_pose": int(sum(r["without_pose"] for r in records)),
        "rotation_error_deg_in_loop": float(
            np.rad2deg(sum(r["rotation_error_rad"] for r in records) / actions)
        ),
        "position_error_mm_in_loop": float(
            sum(r["position_error_m"] for r in records) / actions * 1000
        ),
        "by_visibility": by_visibility(*_visibility_and_errors(records)),
    }


def _distribution(values: NDArray[np.int64]) -> dict[str, Any]:
    return {
        "mean": float(values.mean()),
        "std": float(values.std()),
        "median": float(np.median(values)),
        "values": values.tolist(),
    }


def _visibility_and_errors(records: list[dict[str, Any]]) -> tuple[Array, Array, Array]:
    """Visible fractions and errors in degrees and millimetres (N,) of the measured actions."""
    rows = [row for record in records for row in record["visibility"]]
    fraction, rotation, position = np.reshape(rows, (-1, 3)).T
    return fraction, np.rad2deg(rotation), position * 1000


def compare_paired(values: list[int], others: list[int]) -> dict[str, Any]:
    """Mean goals of paired episodes, and their ratio with its 95 % bootstrap interval.

    Args:
        values: goals of these episodes.
        others: goals of the same episodes in the other evaluation; the longer list is truncated.
    """
    n = min(len(values), len(others))
    pairs = np.array([values[:n], others[:n]], dtype=np.float64)
    theirs = {
        "mean": float(pairs[1].mean()),
        "std": float(pairs[1].std()),
        "median": float(np.median(pairs[1])),
    }
    compared = {"n": n, "mean": float(pairs[0].mean()), "theirs": theirs}
    if pairs[1].sum() == 0:
        return compared | {"ratio": None, "interval_95": None}
    rng = np.random.default_rng(0)
    means = pairs[:, rng.integers(n, size=(RESAMPLES, n))].mean(axis=2)
    ratios = means[0][means[1] > 0] / means[1][means[1] > 0]
    return compared | {
        "ratio": float(pairs[0].sum() / pairs[1].sum()),
        "interval_95": [float(bound) for bound in np.percentile(ratios, (2.5, 97.5))],
    }


def load_paired(folder: Path, config: dict[str, Any]) -> tuple[str, list[int]]:
    """Loads another evaluation of the same episodes.

    Args:
        folder: its output folder.
        config: the settings of this evaluation.

    Returns:
        A description of its pose source, and the goals of its episodes.

    Raises:
        InputError: the folder holds no evaluation, or one of other episodes.
    """
    theirs, results = read_json(folder / "config.json"), read_json(folder / "results.json")
    try:
        theirs = _LEFT_OUT | theirs
        differing = [
            f"{name}: {theirs[name]!r} there, {value!r} here"
            for name, value in (_LEFT_OUT | config).items()
            if name not in _MAY_DIFFER and theirs[name] != value
        ]
        others = (source_name(theirs), list(results["consecutive_successes"]["values"]))
    except (KeyError, TypeError) as error:
        raise InputError(f"{folder} does not hold an evaluation ({error!r})") from error
    if differing:
        raise InputError(f"{folder} holds an evaluation of other episodes ({'; '.join(differing)})")
    return others
