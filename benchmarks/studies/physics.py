"""Which part of the randomized physics a policy fails in: goals per drop, by group of parameters.

    python -P -m opendactyl.benchmarks.studies.physics \
        --policy pretrained/weights/policy-reorient.safetensors --task reorient

Many hands act for a few seconds under the whole preset, without some of its groups, with one group
alone, and at a fraction of its strength.
"""

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from tqdm import tqdm

from opendactyl.core import mujoco_gl
from opendactyl.core.atomic_files import write_json, write_text
from opendactyl.core.errors import InputError, one_line_errors, take_debug_option
from opendactyl.core.run_dir import to_plain
from opendactyl.models.weights import load_weights
from opendactyl.policy.env.episode_types import Difficulty, EnvConfig
from opendactyl.policy.env.reward import DROPPED
from opendactyl.policy.interface.actions import decide
from opendactyl.policy.interface.observations import LAYOUTS, layout_size
from opendactyl.policy.interface.tasks import EVALUATION_SECONDS
from opendactyl.policy.randomization import groups
from opendactyl.policy.randomization.config import load_randomization

SEED = 910_000
"""Seed of the episodes; no training uses it."""


@dataclass(frozen=True, kw_only=True)
class PhysicsConfig:
    """Settings of the comparison."""

    policy: Path
    """A run of train-policy, or the .safetensors file of an LSTM policy."""
    task: str = "reorient"
    """spin, face-up or reorient."""
    layout: str = "default"
    """The policy's observation, for a .safetensors file."""
    randomization: str = "dactyl"
    """A preset, or a TOML file."""
    hands: int = 96
    """Simulations of each row."""
    actions: int = 150
    """Actions in each simulation."""
    out: Path = Path("runs/physics")
    """Folder for table.md and results.json."""


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    physics: str
    goals_per_drop: float
    goals_per_100_actions: float
    drops_per_1000_actions: float


def run(config: PhysicsConfig) -> list[Row]:
    """Measures every row and writes table and results.

    Raises:
        InputError: the policy or the ranges cannot be read.
    """
    actor, task, layout = _load(config)
    ranges = load_randomization(config.randomization)
    actuation, body = groups.ACTUATION, groups.BODY
    cases = [
        ("none", groups.only(ranges, ()), 1.0),
        ("all", ranges, 1.0),
        ("all, without backlash", groups.without(ranges, ("backlash",)), 1.0),
        ("all, without actuation", groups.without(ranges, (*actuation, "pushes")), 1.0),
        ("sensing alone", groups.only(ranges, groups.SENSING), 1.0),
        ("size, mass, friction, gravity alone", groups.only(ranges, body), 1.0),
        *(
            (f"{name} alone", groups.only(ranges, (name,)), 1.0)
            for name in ("limits", "delay", "action-noise", "gains", "damping", "backlash")
        ),
        *((f"all, strength {s:g}", ranges, s) for s in (0.25, 0.5, 0.75)),
    ]
    rows = []
    for name, physics, strength in tqdm(cases, unit="row"):
        env = EnvConfig(
            task=task, layout=layout, randomization=physics, seconds_per_goal=EVALUATION_SECONDS
        )
        goals, drops, actions = count(actor, env, strength, config.hands, config.actions)
        rows.append(Row(name, goals / max(drops, 1), 100 * goals / actions, 1000 * drops / actions))
    write_json(
        config.out / "results.json",
        {"settings": to_plain(config), "rows": [dataclasses.asdict(row) for row in rows]},
    )
    write_text(config.out / "table.md", make_table(rows))
    return rows


@torch.no_grad()
def count(
    actor: torch.nn.Module, config: EnvConfig, strength: float, hands: int, actions: int
) -> tuple[int, int, int]:
    """Goals, drops and actions of a policy; dropped hands begin new episodes."""
    from opendactyl.policy.env.env import HandEnv  # imports MuJoCo

    env = HandEnv(config, hands, seed=SEED)
    env.difficulty = Difficulty(strength=strength)
    policy, _ = env.reset()
    h, c = actor.initial_state(hands)  # pyright: ignore[reportCallIssue]
    start = torch.ones(hands, 1)
    goals = drops = 0
    for _ in range(actions):
        logits, h, c = actor(torch.from_numpy(policy)[:, None], start, h, c)
        step = env.step(decide(logits[:, 0].numpy()))
        goals += int(step.reached.sum())
        drops += int((step.outcome == DROPPED).sum())
        start = torch.from_numpy((step.terminated | step.truncated)[:, None].astype(np.float32))
        policy = step.policy
    return goals, drops, hands * actions


def make_table(rows: list[Row]) -> str:
    """A Markdown table."""
    lines = [
        "| physics | goals per drop | goals per 100 actions | drops per 1,000 |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {row.physics} | {row.goals_per_drop:.1f} | {row.goals_per_100_actions:.2f} | "
        f"{row.drops_per_1000_actions:.2f} |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


def _load(config: PhysicsConfig) -> tuple[torch.nn.Module, str, str]:
    """The actor, its task and its layout."""
    from opendactyl.policy.export import load_actor, make_actor  # imports MuJoCo

    if config.policy.is_dir():
        actor, settings = load_actor(config.policy)
        return actor, settings["task"], settings["layout"]
    size = layout_size(LAYOUTS[config.layout])
    try:
        return make_actor(load_weights(config.policy), size), config.task, config.layout
    except RuntimeError as error:
        raise InputError(
            f"{config.policy} is no LSTM policy of 256 units with layout {config.layout}"
        ) from error


if __name__ == "__main__":
    with one_line_errors():
        mujoco_gl.disable()  # before anything imports MuJoCo
        config = tyro.cli(
            PhysicsConfig,
            prog="python -m opendactyl.benchmarks.studies.physics",
            description=__doc__,
            args=take_debug_option(sys.argv[1:]),
        )
        print(make_table(run(config)))
