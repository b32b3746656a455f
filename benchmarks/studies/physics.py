"""Which part of the randomized physics a policy fails in: goals per drop, by group of parameters.

    python -P -m opendactyl.benchmarks.studies.physics \
        --policy pretrained/weights/policy-reorient.safetensors

Many hands act for a few seconds under the whole preset, without some of its groups, with one group
alone, and at a fraction of its strength.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from opendactyl.benchmarks.support.roll_out import RollOut, RollOutConfig, roll_out
from opendactyl.benchmarks.support.study import prepare_gl, run_study
from opendactyl.core.atomic_files import write_json, write_text
from opendactyl.core.run_dir import to_plain
from opendactyl.policy.randomization import groups


@dataclass(frozen=True, kw_only=True)
class PhysicsConfig(RollOutConfig):
    """Settings of the comparison."""

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
    policy, environment = config.load()
    ranges = environment.distributions()
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
        env = dataclasses.replace(environment, randomization=physics)
        done = roll_out(policy, env, config.hands, config.actions, strength=strength)
        rows.append(_row(name, done))
    write_json(
        config.out / "results.json",
        {"settings": to_plain(config), "rows": [dataclasses.asdict(row) for row in rows]},
    )
    write_text(config.out / "table.md", make_table(rows))
    return rows


def _row(physics: str, done: RollOut) -> Row:
    goals, drops = int(done.goals.sum()), int(done.drops.sum())
    actions = done.actions * len(done.goals)
    return Row(physics, goals / max(drops, 1), 100 * goals / actions, 1000 * drops / actions)


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


if __name__ == "__main__":
    prepare_gl(renders=False)
    run_study("physics", __doc__, PhysicsConfig, lambda config: make_table(run(config)))
