"""Effect of the policy's memory under randomized physics: LSTM against feed-forward.

    python -P -m opendactyl.benchmarks.studies.memory \
        --teacher pretrained/weights/policy-spin.safetensors

For each seed, one policy of each kind is distilled from the same teacher and trained further by PPO
with the same number of actions, then both run the same episodes. The claim under test is that of
D18: in simulation the LSTM reached about twice as many goals. Finished runs are not repeated.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from opendactyl.control.evaluation.goal_statistics import RESAMPLES
from opendactyl.core import mujoco_gl
from opendactyl.core.atomic_files import read_json, write_json, write_text
from opendactyl.core.errors import one_line_errors, take_debug_option
from opendactyl.core.run_dir import open_run, to_plain
from opendactyl.models.policy.actor_critic import MEMORIES
from opendactyl.policy.interface.observations import LAYOUTS, layout_size
from opendactyl.policy.training.config import PolicyConfig

EPISODE_SEED = 800_000
"""Seed of the evaluation episodes; no training uses it."""


@dataclass(frozen=True, kw_only=True)
class MemoryConfig:
    """Settings of the comparison."""

    teacher: Path
    """Teacher of both: a run, or the .safetensors file of a policy."""
    task: str = "spin"
    """spin, face-up or reorient."""
    randomization: str = "dactyl"
    """Physics and observation randomization."""
    actions: int = 1_500_000
    """Training actions of each policy; two fifths of them are distillation."""
    seeds: int = 3
    """Policies of each kind."""
    episodes: int = 100
    """Evaluation episodes, the same for every policy."""
    out: Path = Path("runs/memory")
    """Folder for the runs and table.md."""


def run(config: MemoryConfig) -> str:
    """Trains and evaluates the policies that are missing; returns the table.

    Raises:
        InputError: the folder has policies of other settings.
    """
    settings = {k: v for k, v in to_plain(config).items() if k not in ("out", "seeds")}
    open_run(config.out, settings, resume=True)
    goals: dict[str, list[list[int]]] = {memory: [] for memory in MEMORIES}
    for seed in range(config.seeds):
        for memory in MEMORIES:
            folder = config.out / f"{memory}-{seed}"
            if not (folder / "goals.json").exists():
                write_json(folder / "goals.json", _goals(config, memory, seed, folder))
            goals[memory].append(read_json(folder / "goals.json"))
    table = make_table({memory: np.array(values) for memory, values in goals.items()})
    write_text(config.out / "table.md", table)
    return table


def _goals(config: MemoryConfig, memory: str, seed: int, folder: Path) -> list[int]:
    """Consecutive goals of one policy, which is trained if it is missing."""
    from opendactyl.policy.collection.agent import Agent  # imports MuJoCo
    from opendactyl.policy.training.checkpoints import load_checkpoint
    from opendactyl.policy.training.evaluation import whole_episodes
    from opendactyl.policy.training.train import train

    settings = PolicyConfig(
        task=config.task, memory=memory, randomization=config.randomization, seed=seed, out=folder,
        teacher=config.teacher, teacher_fraction=0.0, distillation_fraction=0.4,
        max_actions=config.actions, max_minutes=1e6, eval_episodes=0, resume=True,
    )  # fmt: skip
    train(settings)
    size = layout_size(LAYOUTS[settings.layout])
    agent = Agent(
        size,
        hidden=settings.hidden,
        memory=memory,
        critic_memory=settings.critic_memory,
        privileged=False,
    )
    agent.load_state_dict(load_checkpoint(folder / "checkpoints" / "best.ckpt")["student"])
    counted = whole_episodes(agent, settings.environment(), config.episodes, EPISODE_SEED)
    return counted.tolist()


def make_table(goals: dict[str, np.ndarray]) -> str:
    """A Markdown table of mean goals and their ratio.

    Args:
        goals: per kind of memory the goals (seeds, episodes); the intervals resample both.
    """
    rng = np.random.default_rng(0)
    lines = ["| | each seed | mean | 95 % interval |", "|---|---|---|---|"]
    means = {}
    for memory, values in goals.items():
        means[memory] = _resampled_means(values, rng)
        seeds = ", ".join(f"{mean:.1f}" for mean in values.mean(axis=1))
        low, high = np.percentile(means[memory], (2.5, 97.5))
        lines.append(f"| `{memory}` | {seeds} | {values.mean():.1f} | {low:.1f} to {high:.1f} |")
    first, second = MEMORIES
    ratios = means[first] / np.maximum(means[second], 1e-9)
    low, high = np.percentile(ratios, (2.5, 97.5))
    ratio = goals[first].mean() / max(goals[second].mean(), 1e-9)
    lines.append(f"| `{first}` / `{second}` | | {ratio:.2f} | {low:.2f} to {high:.2f} |")
    return "\n".join(lines) + "\n"


def _resampled_means(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Bootstrap means: seeds first, then episodes within each."""
    seeds, episodes = values.shape
    chosen = rng.integers(seeds, size=(RESAMPLES, seeds))
    means = np.empty(RESAMPLES)
    for number, rows in enumerate(chosen):
        columns = rng.integers(episodes, size=(seeds, episodes))
        means[number] = values[rows[:, None], columns].mean()
    return means


if __name__ == "__main__":
    with one_line_errors():
        config = tyro.cli(
            MemoryConfig,
            prog="python -m opendactyl.benchmarks.studies.memory",
            description=__doc__,
            args=take_debug_option(sys.argv[1:]),
        )
        mujoco_gl.disable()  # before anything imports MuJoCo
        print(run(config))
