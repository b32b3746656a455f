"""What calibration is worth: policies fine-tuned on the fitted ranges of simulated robots.

    python -P -m opendactyl.benchmarks.studies.calibrated_policy --out runs/calibrated-policy

Each robot is a hand with parameters of its own (`benchmarks.support.twins`). A log of it is fitted,
and the policy `--start` is trained further on the fitted ranges. It is also trained for as long on
preset `dactyl`, once for all robots. The start and both results then run the same episodes on that
robot. Each is one training: what differs between seeds of a training is not known. Robots whose fit
is refused are left out and named. Finished fits and trainings are not repeated.
"""

import dataclasses
import math
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
from opendactyl.geometry.rotation import Array
from opendactyl.policy.training.config import PolicyConfig

RANGES, FIT = "ranges.toml", "fit.json"
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
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"--{name} must be positive")

    def training(self, randomization: str, folder: Path) -> PolicyConfig:
        """The settings of a training that continues that of the start."""
        return PolicyConfig(
            task=self.task, hand=self.hand, randomization=randomization, out=folder,
            warm_start=self.start, max_minutes=self.minutes, **TRAINING,
        )  # fmt: skip


def run(config: StudyConfig) -> dict[str, Any]:
    """Fits, trains and evaluates what is missing; returns the results.

    Raises:
        InputError: the settings cannot be used, the folder has results of others, or every fit is
            refused.
    """
    plan = _checked_plan(config)
    settings = {k: v for k, v in to_plain(config).items() if k not in ("out", "twins", "threads")}
    open_run(config.out, settings, resume=True)
    goals: dict[str, list[list[int]]] = {kind: [] for kind in KINDS}
    refused = []
    for seed in tqdm(range(config.twins), unit="robot"):
        twin = Twin(TwinConfig(hand=config.hand, seed=seed, efforts=config.efforts))
        folder = config.out / f"twin-{seed}"
        if not _fit(config, twin, plan, folder):
            refused.append(seed)
            continue
        for kind in KINDS:
            path = folder / f"goals-{kind}.json"
            if not exists(path):
                write_json(path, _goals(config, twin, kind, folder))
            goals[kind].append(read_json(path))
    if not goals[KINDS[0]]:
        raise InputError(f"the fits of all robots are refused; see {config.out}/twin-0/fit.json")
    results = compare({kind: np.array(values) for kind, values in goals.items()}, paired=True)
    results["refused"] = refused
    write_json(config.out / "results.json", {"settings": to_plain(config)} | results)
    write_text(config.out / "table.md", table(results))
    return results


def table(results: dict[str, Any]) -> str:
    """The results as a Markdown table, and the robots that were left out."""
    refused = ", ".join(map(str, results["refused"]))
    note = f"\nFits refused, and left out: robots {refused}.\n" if refused else ""
    return make_table(results, "robot") + note


def _checked_plan(config: StudyConfig) -> Array:
    """The motion of the logs; raises an `InputError` for settings that cannot be used."""
    from opendactyl.policy.calibration.plan import PlanConfig, make_plan
    from opendactyl.policy.loading import load_policy_run  # imports MuJoCo

    own = config.training("dactyl", config.out)
    own.check()
    _, environment = load_policy_run(config.start, config.task)
    if environment.hand_size != own.environment().hand_size:
        raise InputError(
            f"{config.start} is a policy of another hand than --hand {config.hand}; give --start a "
            "run of that hand"
        )
    return make_plan(config.hand, PlanConfig(seconds=config.seconds))


def _goals(config: StudyConfig, twin: Twin, kind: str, folder: Path) -> list[int]:
    """Consecutive goals on a robot; the policy is trained if it is missing."""
    from opendactyl.policy.loading import load_policy_run  # imports MuJoCo
    from opendactyl.policy.training.evaluation import episode_goals
    from opendactyl.policy.training.train import train

    path = config.start
    if kind == "fitted":
        path = train(config.training(str(folder / RANGES), folder / "fitted"))
    elif kind == "dactyl":
        path = train(config.training("dactyl", config.out / "dactyl"))
    policy, environment = load_policy_run(path, config.task)
    robot = dataclasses.replace(environment, hand=config.hand, randomization=twin.randomization())
    return episode_goals(policy, robot, config.episodes, EPISODE_SEED).tolist()


def _fit(config: StudyConfig, twin: Twin, plan: Array, folder: Path) -> bool:
    """Whether the fit of a robot's log is accepted; it is fitted if that is not known."""
    from opendactyl.policy.calibration.calibrate import calibrate
    from opendactyl.policy.calibration.results.outputs import write_fit, write_ranges

    if not exists(folder / FIT):
        fitted = calibrate(twin.play(plan), config.hand, threads=config.threads)
        write_ranges(fitted, folder / RANGES)
        write_fit(fitted, folder / FIT)
    return bool(read_json(folder / FIT)["accepted"])


if __name__ == "__main__":
    prepare_gl(renders=False)
    run_study("calibrated_policy", __doc__, StudyConfig, lambda config: table(run(config)))
