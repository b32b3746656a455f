"""Comparison of policies that were trained in different ways, on several seeds or robots."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from opendactyl.control.evaluation.goal_statistics import RESAMPLES
from opendactyl.geometry.rotation import Array
from opendactyl.policy.training.config import PolicyConfig

if TYPE_CHECKING:
    from opendactyl.policy.env.episode_types import EnvConfig

EPISODE_SEED = 800_000
"""Seed of the evaluation episodes; no training uses it."""
TRAINING: dict[str, Any] = {"max_minutes": 1e6, "eval_episodes": 0, "resume": True}
"""Settings of all trainings: their length is given in actions."""


def train_and_count(
    settings: PolicyConfig, environments: "Sequence[EnvConfig]", episodes: int
) -> list[list[int]]:
    """Trains a policy, or continues, and counts its consecutive goals in each environment."""
    from opendactyl.benchmarks.support.untrained import untrained_agent  # imports MuJoCo
    from opendactyl.policy.loading import load_student
    from opendactyl.policy.training.evaluation import whole_episodes
    from opendactyl.policy.training.train import train

    run = train(settings)
    agent = untrained_agent(settings)
    agent.load_state_dict(load_student(run))
    counted = (whole_episodes(agent, e, episodes, EPISODE_SEED) for e in environments)
    return [goals.tolist() for goals in counted]


def compare(goals: dict[str, Array], *, paired: bool = False) -> dict[str, Any]:
    """Mean goals of each kind, and logarithms of the ratios of the first kind to the others.

    Args:
        goals: per kind the goals (seeds or robots, episodes). The intervals resample both; a
            resample has the same episodes for all kinds.
        paired: whether a row is the same robot for all kinds, and not a training of its own.
    """
    rng = np.random.default_rng(0)
    rows, episodes = next(iter(goals.values())).shape
    columns, shared = _counts(rng, episodes), _counts(rng, rows) if paired else None
    logs, kinds = {}, {}
    for kind, values in goals.items():
        resampled = _counts(rng, len(values)) if shared is None else shared
        means = ((resampled @ values) * columns).sum(axis=1) / values.size
        # A kind without any goal counts as if it had reached half of one.
        least = 0.5 / values.size
        logs[kind] = np.log(np.maximum(values.mean(), least)), np.log(np.maximum(means, least))
        kinds[kind] = {
            "goals": values.tolist(),
            "seed_means": values.mean(axis=1).tolist(),
            "mean": float(values.mean()),
            "interval_95": np.percentile(means, (2.5, 97.5)).tolist(),
        }
    first, *others = goals
    ratios = {}
    for other in others:
        interval = np.percentile(logs[first][1] - logs[other][1], (2.5, 97.5))
        log_ratio = float(logs[first][0] - logs[other][0])
        ratios[f"{first}/{other}"] = {"log_ratio": log_ratio, "interval_95": interval.tolist()}
    return {"kinds": kinds, "log_ratios": ratios}


def _counts(rng: np.random.Generator, n: int) -> Array:
    """How often each of n values occurs in each bootstrap resample (RESAMPLES, n)."""
    return rng.multinomial(n, np.full(n, 1 / n), RESAMPLES).astype(np.float64)


def make_table(results: dict[str, Any], unit: str = "seed") -> str:
    """The results as a Markdown table; `unit` is what the first axis of the goals stands for."""
    lines = [f"| | goals of each {unit} | mean | 95 % interval |", "|---|---|---|---|"]
    for kind, values in results["kinds"].items():
        seeds = ", ".join(f"{mean:.1f}" for mean in values["seed_means"])
        low, high = values["interval_95"]
        lines.append(f"| `{kind}` | {seeds} | {values['mean']:.1f} | {low:.1f} to {high:.1f} |")
    for pair, values in results["log_ratios"].items():
        low, high = values["interval_95"]
        log_ratio, (less, more) = values["log_ratio"], np.exp((low, high))
        lines.append(f"| log `{pair}` | | {log_ratio:.2f} | {low:.2f} to {high:.2f} |")
        lines.append(f"| `{pair}` | | {np.exp(log_ratio):.2f} | {less:.2f} to {more:.2f} |")
    return "\n".join(lines) + "\n"
