"""Effect of the policy's memory under randomized physics: LSTM, feed-forward, and four frames.

    python -P -m opendactyl.benchmarks.studies.memory

For each seed, one policy of each kind is distilled from the same teacher, which observes the
physics and has no memory, and trained further by PPO with the same number of actions under the full
ranges. Then all run the same episodes. The claim under test is that of D18: in simulation the LSTM
reached about twice as many goals. Finished runs are not repeated.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

from opendactyl.benchmarks.support.figure_file import save_figure
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
from opendactyl.models.choices import MEMORIES
from opendactyl.policy.training.config import PolicyConfig

TEACHER_SEED = 1000


@dataclass(frozen=True, kw_only=True)
class MemoryConfig:
    """Settings of the comparison."""

    teacher: Path | None = None
    """Teacher of all policies: a run of train-policy with --privileged --memory none and the same
    --action and --smoothing, or another --teacher of train-policy. Default: one is trained in
    OUT/teacher."""
    teacher_actions: int = 4_000_000
    """Training actions of the teacher, if none is given."""
    task: str = "spin"
    """spin, face-up or reorient."""
    layout: str = "d18"
    """The policies' observation: default, d18 or joints."""
    action: str = "relative"
    """Meaning of the bins: absolute or relative."""
    smoothing: float = 0.3
    """Fraction of the previous target that each action keeps."""
    randomization: str = "dactyl"
    """Physics and observation randomization."""
    actions: int = 1_200_000
    """Training actions of each policy; two fifths of them are distillation."""
    seeds: int = 4
    """Policies of each kind."""
    episodes: int = 100
    """Evaluation episodes, the same for every policy."""
    out: Path = Path("runs/memory")
    """Folder for the runs, table.md, results.json and memory.png."""

    def __post_init__(self) -> None:
        """Raises an `InputError` for values out of range."""
        for name in ("teacher_actions", "actions", "seeds", "episodes"):
            if getattr(self, name) < 1:
                raise InputError(f"--{name.replace('_', '-')} must be at least 1")

    def training(self, **settings: Any) -> PolicyConfig:
        """The settings of a training run in the environment of the comparison."""
        shared = {k: getattr(self, k) for k in ("task", "layout", "action", "smoothing")}
        return PolicyConfig(**shared, randomization=self.randomization, **TRAINING, **settings)


def run(config: MemoryConfig) -> dict[str, Any]:
    """Trains and evaluates the policies that are missing; returns the results.

    Raises:
        InputError: the folder has policies of other settings, or the teacher does not fit.
    """
    from opendactyl.policy.training.checkpoints import check_ancestors  # imports MuJoCo

    check_ancestors(config.training(teacher=config.teacher))
    settings = {k: v for k, v in to_plain(config).items() if k not in ("out", "seeds")}
    open_run(config.out, settings, resume=True)
    jobs = [(seed, memory) for seed in range(config.seeds) for memory in MEMORIES]
    goals: dict[str, list[list[int]]] = {memory: [] for memory in MEMORIES}
    for seed, memory in tqdm(jobs, unit="policy"):
        path = config.out / f"{memory}-{seed}" / "goals.json"
        if not exists(path):
            write_json(path, _goals(config, memory, seed, path.parent))
        goals[memory].append(read_json(path))
    results = compare({memory: np.array(values) for memory, values in goals.items()})
    write_json(config.out / "results.json", {"settings": to_plain(config)} | results)
    write_text(config.out / "table.md", make_table(results))
    save_figure(plot(results), config.out / "memory.png")
    return results


def _goals(config: MemoryConfig, memory: str, seed: int, folder: Path) -> list[int]:
    """Consecutive goals of one policy, which is trained if it is missing."""
    settings = config.training(
        memory=memory, seed=seed, out=folder, max_actions=config.actions,
        teacher=config.teacher or _trained_teacher(config),
        teacher_fraction=0.0, distillation_fraction=0.4,
        # The experience of all kinds has the same distribution.
        strength_curriculum=False,
    )  # fmt: skip
    (goals,) = train_and_count(settings, [settings.environment()], config.episodes)
    return goals


def _trained_teacher(config: MemoryConfig) -> Path:
    """The run of a teacher that observes the physics; trained, or continued, if necessary."""
    from opendactyl.policy.training.train import train  # imports MuJoCo

    folder = config.out / "teacher"
    if not exists(folder / "checkpoints" / "best.ckpt"):
        train(
            config.training(
                privileged=True, memory="none", seed=TEACHER_SEED, out=folder,
                max_actions=config.teacher_actions,
                teacher_fraction=0.0, distillation_fraction=0.0,
            )
        )  # fmt: skip
    return folder


def plot(results: dict[str, Any]) -> Figure:
    """Every seed, and mean and interval of each kind."""
    figure = Figure(figsize=(6, 3.2), layout="constrained")
    axes = figure.subplots()
    for x, values in enumerate(results["kinds"].values()):
        axes.plot([x] * len(values["seed_means"]), values["seed_means"], "o", color="0.6")
        low, high = values["interval_95"]
        error = np.maximum([[values["mean"] - low], [high - values["mean"]]], 0)
        axes.errorbar([x + 0.15], [values["mean"]], error, fmt="s", capsize=4, color="C0")
    axes.set_xticks(range(len(results["kinds"])), list(results["kinds"]))
    axes.set_ylabel("consecutive goals")
    axes.set_ylim(bottom=0)
    return figure


if __name__ == "__main__":
    prepare_gl(renders=False)
    run_study("memory", __doc__, MemoryConfig, lambda config: make_table(run(config)))
