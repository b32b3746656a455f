"""Automatic domain randomization against fixed ranges, with equal experience from one start.

    python -P -m opendactyl.benchmarks.studies.adr \
        --start pretrained/weights/policy-spin.safetensors

For each seed, one policy is trained with `--randomization adr` and one with preset `dactyl`, from
the same weights by the same number of actions. Both run the same episodes under `dactyl` and under
`wide`, with heavier, slippery objects and dead actuators. Finished runs are not repeated.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from opendactyl.benchmarks.support.policy_comparison import (
    TRAINING,
    compare,
    make_table,
    train_and_count,
)
from opendactyl.benchmarks.support.study import prepare_gl, run_study
from opendactyl.core.atomic_files import read_json, write_json, write_text
from opendactyl.core.errors import InputError
from opendactyl.core.optional_files import exists
from opendactyl.core.run_dir import open_run, to_plain
from opendactyl.policy.randomization.config import load_randomization
from opendactyl.policy.training.config import PolicyConfig

KINDS = ("adr", "dactyl")
"""Values of --randomization in training."""
TESTS = ("dactyl", "wide")
"""Presets of the evaluations."""


@dataclass(frozen=True, kw_only=True)
class AdrConfig:
    """Settings of the comparison."""

    start: Path = Path("pretrained/weights/policy-spin.safetensors")
    """Weights, or a run of train-policy, from which all policies start."""
    task: str = "spin"
    """spin, face-up or reorient."""
    actions: int = 4_000_000
    """Training actions of each policy."""
    seeds: int = 3
    """Policies of each kind."""
    episodes: int = 100
    """Evaluation episodes of each test, the same for every policy."""
    out: Path = Path("runs/adr")
    """Folder for the runs, table.md and results.json."""

    def __post_init__(self) -> None:
        """Raises an `InputError` for values out of range."""
        for name in ("actions", "seeds", "episodes"):
            if getattr(self, name) < 1:
                raise InputError(f"--{name} must be at least 1")


def run(config: AdrConfig) -> dict[str, Any]:
    """Trains and evaluates the policies that are missing; returns the results of each test.

    Raises:
        InputError: the folder has policies of other settings, or the start does not fit.
    """
    settings = {k: v for k, v in to_plain(config).items() if k not in ("out", "seeds")}
    open_run(config.out, settings, resume=True)
    jobs = [(seed, kind) for seed in range(config.seeds) for kind in KINDS]
    goals: dict[str, dict[str, list[list[int]]]] = {t: {k: [] for k in KINDS} for t in TESTS}
    for seed, kind in tqdm(jobs, unit="policy"):
        path = config.out / f"{kind}-{seed}" / "goals.json"
        if not exists(path):
            write_json(path, _goals(config, kind, seed, path.parent))
        for test, values in read_json(path).items():
            goals[test][kind].append(values)
    results = {
        test: compare({kind: np.array(values) for kind, values in kinds.items()})
        for test, kinds in goals.items()
    }
    write_json(config.out / "results.json", {"settings": to_plain(config), "tests": results})
    write_text(config.out / "table.md", make_tables(results))
    return results


def _goals(config: AdrConfig, kind: str, seed: int, folder: Path) -> dict[str, list[int]]:
    """Consecutive goals of one policy in each test; it is trained if it is missing."""
    settings = PolicyConfig(
        task=config.task, randomization=kind, seed=seed, out=folder, warm_start=config.start,
        max_actions=config.actions, teacher_fraction=0.0, distillation_fraction=0.0, **TRAINING,
    )  # fmt: skip
    environment = settings.environment()
    tests = [dataclasses.replace(environment, randomization=load_randomization(t)) for t in TESTS]
    return dict(zip(TESTS, train_and_count(settings, tests, config.episodes), strict=True))


def make_tables(results: dict[str, Any]) -> str:
    """A Markdown table for each test."""
    return "\n".join(f"Under `{t}`:\n\n{make_table(found)}" for t, found in results.items())


if __name__ == "__main__":
    prepare_gl(renders=False)
    run_study("adr", __doc__, AdrConfig, lambda config: make_tables(run(config)))
