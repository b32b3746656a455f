"""What calibration is worth: policies fine-tuned on the fitted ranges of simulated robots.

    python -P -m opendactyl.benchmarks.studies.calibrated_policy --out runs/calibrated-policy

Each robot is a hand with parameters of its own (`benchmarks.support.twins`). A log of it is fitted,
and the policy `--start` is trained further on the fitted ranges, and for as long on preset
`dactyl`. The start and both results then run the same episodes on that robot. Finished fits and
trainings are not repeated.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from opendactyl.benchmarks.support.policy_comparison import EPISODE_SEED, compare, make_table
from opendactyl.benchmarks.support.study import prepare_gl, run_study
from opendactyl.benchmarks.support.twins import Twin, TwinConfig
from opendactyl.core.atomic_files import read_json, write_json, write_text
from opendactyl.core.errors import InputError
from opendactyl.core.optional_files import exists
from opendactyl.core.run_dir import open_run, to_plain
from opendactyl.policy.training.config import PolicyConfig

RANGES = "ranges.toml"
KINDS = ("fitted", "dactyl", "start")
"""Further training on the fitted ranges, on preset `dactyl`, and none."""
TRAINING: dict[str, Any] = {
    "teacher_fraction": 0.0, "distillation_fraction": 0.0, "resume": True,
    # The start already acts under the full ranges of `dactyl`.
    "strength_curriculum": False,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class StudyConfig:
    """Settings of the study."""

    start: Path = Path("pretrained/weights/policy-spin.safetensors")
    """Weights, or a run of train-policy, that are trained further."""
    hand: str = "shadow"
    """The hand."""
    task: str = "spin"
    """spin, face-up or reorient."""
    twins: int = 5
    """Simulated robots."""
    seconds: float = 180.0
    """Duration of each log."""
    efforts: bool = False
    """Log torques, too."""
    minutes: float = 20.0
    """Further training of each policy."""
    episodes: int = 60
    """Evaluation episodes on each robot, the same for every policy."""
    threads: int = 0
    """Threads of the fits; 0: one for each core."""
    out: Path = Path("runs/calibrated-policy")
    """Folder for the fits, the runs, table.md and results.json."""

    def __post_init__(self) -> None:
        """Raises an `InputError` for values out of range."""
        for name in ("twins", "episodes", "minutes"):
            if getattr(self, name) < 1e-3:
                raise InputError(f"--{name} must be positive")


def run(config: StudyConfig) -> dict[str, Any]:
    """Fits, trains and evaluates what is missing; returns the results.

    Raises:
        InputError: the folder has results of other settings, or a fit is refused.
    """
    settings = {k: v for k, v in to_plain(config).items() if k not in ("out", "twins", "threads")}
    open_run(config.out, settings, resume=True)
    goals: dict[str, list[list[int]]] = {kind: [] for kind in KINDS}
    for seed in tqdm(range(config.twins), unit="robot"):
        twin = Twin(TwinConfig(hand=config.hand, seed=seed, efforts=config.efforts))
        for kind in KINDS:
            path = config.out / f"twin-{seed}" / f"goals-{kind}.json"
            if not exists(path):
                write_json(path, _goals(config, twin, kind))
            goals[kind].append(read_json(path))
    results = compare({kind: np.array(values) for kind, values in goals.items()})
    write_json(config.out / "results.json", {"settings": to_plain(config)} | results)
    write_text(config.out / "table.md", make_table(results, "robot"))
    return results


def _goals(config: StudyConfig, twin: Twin, kind: str) -> list[int]:
    """Consecutive goals on a robot; the policy is trained if it is missing."""
    from opendactyl.policy.export import load_policy_run  # imports MuJoCo
    from opendactyl.policy.training.evaluation import episode_goals

    folder = config.out / f"twin-{twin.config.seed}"
    if kind == "fitted":
        path = _trained(config, str(_fitted_ranges(config, twin, folder)), folder / "fitted")
    elif kind == "dactyl":
        path = _trained(config, "dactyl", config.out / "dactyl")
    else:
        path = config.start
    policy, environment = load_policy_run(path, config.task)
    robot = dataclasses.replace(environment, hand=config.hand, randomization=twin.randomization())
    return episode_goals(policy, robot, config.episodes, EPISODE_SEED).tolist()


def _fitted_ranges(config: StudyConfig, twin: Twin, folder: Path) -> Path:
    """The ranges that a log of the robot leaves; fitted if they are missing."""
    from opendactyl.policy.calibration.calibrate import calibrate
    from opendactyl.policy.calibration.outputs import write_fit, write_ranges
    from opendactyl.policy.calibration.plan import PlanConfig, make_plan

    if exists(folder / RANGES):
        return folder / RANGES
    log = twin.play(make_plan(config.hand, PlanConfig(seconds=config.seconds)))
    fitted = calibrate(log, config.hand, threads=config.threads)
    write_fit(fitted, folder / "fit.json")
    if fitted.refusal:
        raise InputError(f"the fit of twin {twin.config.seed} is refused: {fitted.refusal}")
    write_ranges(fitted, folder / RANGES)
    return folder / RANGES


def _trained(config: StudyConfig, randomization: str, folder: Path) -> Path:
    """A run that trains the start further; trained, or continued, if it is not finished."""
    from opendactyl.policy.training.train import train

    return train(
        PolicyConfig(
            task=config.task, hand=config.hand, randomization=randomization, out=folder,
            warm_start=config.start, max_minutes=config.minutes, **TRAINING,
        )
    )  # fmt: skip


if __name__ == "__main__":
    prepare_gl(renders=False)
    run_study(
        "calibrated_policy", __doc__, StudyConfig, lambda config: make_table(run(config), "robot")
    )
