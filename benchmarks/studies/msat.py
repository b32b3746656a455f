"""Action transformer against LSTM and simpler planners, all taught by one policy on equal data.

    python -P -m opendactyl.benchmarks.studies.msat

trains every variant and counts goals in the same episodes, under 0 to 3 actions of delay.
"""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from opendactyl.benchmarks.support.study import prepare_gl, run_study
from opendactyl.core.atomic_files import read_json, write_json, write_text
from opendactyl.core.errors import InputError
from opendactyl.core.html_report import HtmlReport
from opendactyl.core.optional_files import exists
from opendactyl.core.run_dir import CONFIG_NAME, open_run, to_plain
from opendactyl.vision.measures.metrics import bootstrap_interval

VARIANTS: dict[str, dict[str, Any]] = {
    "msat": {},
    "no-physics": {"physics": False},
    "single": {"network": "single"},
    "mlp": {"network": "mlp"},
    "chunk-1": {"chunk": 1, "execute": 1},
    "chunk-4": {"chunk": 4, "execute": 2},
    "steps-1": {"euler_steps": 1},
}
"""Settings that differ from those of `msat`; chunk 8, four of them executed, and 4 Euler steps."""
TEACHER, STUDENT = "teacher", "lstm"
ROWS = (TEACHER, STUDENT, *VARIANTS)
TRAINING: dict[str, Any] = {"eval_episodes": 0, "max_minutes": 24 * 60.0, "resume": True}
"""Settings of all trainings; `--actions` ends them, not the time."""
TIMED, RESAMPLES = 300, 10_000
"""Actions whose latency is measured, and bootstrap resamples."""


@dataclass(frozen=True, kw_only=True)
class StudyConfig:
    """Settings of the comparison."""

    bundle: Path = Path("pretrained/reorient")
    """The bundle whose policy teaches, and whose estimator the bundles of all variants get."""
    weights: Path = Path("pretrained/weights/policy-reorient.safetensors")
    """The weights of the same policy, from which the LSTM is distilled."""
    names: tuple[str, ...] = ROWS
    """Rows of the table."""
    actions: int = 1_000_000
    """Actions in simulation of each variant."""
    episodes: int = 50
    """Episodes of each evaluation."""
    delays: tuple[int, ...] = (0, 1, 2, 3)
    """Actions after which targets act."""
    randomizations: tuple[str, ...] = ("none", "vision")
    """Presets or files of the evaluations."""
    seed: int = 4000
    """Seed of the episodes."""
    out: Path = Path("runs/msat-study")
    """Folder for the runs, table.md, report.html and results.json."""
    resume: bool = False
    """Continue an interrupted study, or start a new one."""

    def __post_init__(self) -> None:
        """Raises an `InputError` for values out of range."""
        if not self.names or set(self.names) - set(ROWS):
            raise InputError(f"--names are {self.names}; choose from {', '.join(ROWS)}")
        if min(self.actions, self.episodes, len(self.delays), len(self.randomizations)) < 1:
            raise InputError("of actions, episodes, delays and randomizations one is the least")


def run(config: StudyConfig) -> dict[str, Any]:
    """Trains and evaluates what is missing; returns the results.

    Raises:
        InputError: the folder has a study of other settings, or a bundle cannot be used.
    """
    lasting = {k: v for k, v in to_plain(config).items() if k not in ("out", "names", "resume")}
    open_run(config.out, lasting, resume=config.resume)
    rows: dict[str, Any] = {}
    for name in tqdm(config.names, unit="variant"):
        bundle = config.bundle if name == TEACHER else _bundle(config, name)
        rows[name] = {"latency_ms": _latency(bundle)} | _evaluations(config, name, bundle)
        results = {"settings": to_plain(config), "rows": rows, "paired": compare(rows)}
        write_json(config.out / "results.json", results)
        write_text(config.out / "table.md", make_table(rows))
        _write_report(config, rows)
    return results


def _bundle(config: StudyConfig, name: str) -> Path:
    """The bundle of a variant, which is trained and exported if it is missing."""
    from opendactyl.control.packaging.build import export_bundle  # imports MuJoCo
    from opendactyl.control.packaging.config import ExportConfig

    out = config.out / name / "bundle"
    if not exists(out / "manifest.json"):
        trained = _train(config, name, config.out / name / "run")
        export_bundle(ExportConfig(vision=config.bundle, policy=trained, out=out))
    return out


def _train(config: StudyConfig, name: str, folder: Path) -> Path:
    if name == STUDENT:
        return _train_student(config, folder)
    from opendactyl.control.evaluation.policies import load_teacher  # imports MuJoCo
    from opendactyl.policy.msat.config import MsatConfig
    from opendactyl.policy.msat.train import train

    if name == "steps-1":  # has the same weights as msat
        source = _train(config, "msat", config.out / "msat" / "run")
        shutil.copytree(source, folder, dirs_exist_ok=True)
        write_json(folder / CONFIG_NAME, read_json(source / CONFIG_NAME) | VARIANTS[name])
        return folder
    settings: dict[str, Any] = TRAINING | {"max_actions": config.actions} | VARIANTS[name]
    made = MsatConfig(teacher=config.bundle, out=folder, **settings)
    return train(made, load_teacher(config.bundle))


def _train_student(config: StudyConfig, folder: Path) -> Path:
    """The run of the LSTM, which imitates the teacher but for the last thousandth."""
    from opendactyl.policy.training.config import PolicyConfig
    from opendactyl.policy.training.train import train

    task = read_json(config.bundle / "manifest.json")["policy"]["task"]
    return train(
        PolicyConfig(
            task=task, teacher=config.weights, out=folder, max_actions=config.actions,
            teacher_fraction=0.0, distillation_fraction=0.999, **TRAINING,
        )
    )  # fmt: skip


def _evaluations(config: StudyConfig, name: str, bundle: Path) -> dict[str, Any]:
    """Results by randomization and delay: `none/0`."""
    from opendactyl.control.evaluation.evaluate import EvaluateConfig, evaluate  # imports MuJoCo

    found = {}
    for randomization in config.randomizations:
        for delay in config.delays:
            case = f"{Path(randomization).stem}/{delay}"
            results = evaluate(
                EvaluateConfig(
                    bundle=bundle, randomization=randomization, action_delay=delay,
                    episodes=config.episodes, seed=config.seed, video_seconds=0, resume=True,
                    out=config.out / name / case.replace("/", "-"),
                )
            )  # fmt: skip
            goals = results["consecutive_successes"]
            found[case] = {
                "goals": goals["values"], "mean": goals["mean"], "drops": results["drops"],
                "seconds_per_goal": results["seconds_per_success"],
            }  # fmt: skip
    return {"cases": found}


def _latency(path: Path) -> dict[str, float]:
    """Percentiles of the time from an observation to targets, in milliseconds."""
    from opendactyl.control.bundle.load import load_bundle
    from opendactyl.control.runtime.controller import Controller
    from opendactyl.vision.estimator import Pose

    bundle, rng = load_bundle(path), np.random.default_rng(0)
    controller = Controller(bundle)
    joints = rng.normal(0, 0.3, (1, len(bundle.hand.joints)))
    fingertips = rng.normal(0, 0.05, (1, len(bundle.hand.fingertips), 3))
    controller.start(joints)
    pose = Pose(np.zeros(3), np.array([1.0, 0, 0, 0]), np.eye(6))
    seconds: list[float] = []
    for _ in range(TIMED):
        controller.observe(0, pose)
        began = time.perf_counter()
        controller.act(np.array([0]), fingertips, joints, controller.quaternion)
        seconds.append(time.perf_counter() - began)
    return {f"p{p}": float(np.percentile(seconds, p)) * 1000 for p in (50, 99)}


def compare(rows: dict[str, Any]) -> dict[str, Any]:
    """Paired differences of the goals to those of the LSTM, with 95 % bootstrap intervals."""
    if STUDENT not in rows:
        return {}
    theirs = rows[STUDENT]["cases"]
    return {
        name: {
            case: _difference(np.array(values["goals"]) - np.array(theirs[case]["goals"]))
            for case, values in row["cases"].items()
        }
        for name, row in rows.items()
        if name != STUDENT
    }


def _difference(values: NDArray[np.int64]) -> dict[str, Any]:
    interval = bootstrap_interval(values, resamples=RESAMPLES)
    return {"mean": float(values.mean()), "interval_95": list(interval)}


def _cells(rows: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and cells; seconds a goal and drops are those without delay."""
    cases, paired, cells = list(next(iter(rows.values()))["cases"]), compare(rows), []
    undelayed = [case for case in cases if case.endswith("/0")]
    for name, row in rows.items():
        line = [name]
        for case in cases:
            text = f"{row['cases'][case]['mean']:.1f}"
            if name in paired:
                low, high = paired[name][case]["interval_95"]
                text += f" ({low:+.1f} to {high:+.1f})"
            line.append(text)
        for case in undelayed:
            seconds, drops = (row["cases"][case][key] for key in ("seconds_per_goal", "drops"))
            line += ["" if seconds is None else f"{seconds:.2f}", str(drops)]
        cells.append([*line, f"{row['latency_ms']['p99']:.1f}"])
    header = [f"goals, {case.replace('/', ', delay ')}" for case in cases]
    for case in undelayed:
        header += [f"seconds a goal, {case[:-2]}", f"drops, {case[:-2]}"]
    return ["policy", *header, "p99 (ms)"], cells


def make_table(rows: dict[str, Any]) -> str:
    """The results as a Markdown table; in brackets intervals of the difference to the LSTM."""
    header, cells = _cells(rows)
    lines = [header, ["---"] * len(header), *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _write_report(config: StudyConfig, rows: dict[str, Any]) -> None:
    report = HtmlReport("Action transformer and LSTM, taught by one policy")
    report.text(
        f"{config.actions:,} actions each; n = {config.episodes} paired episodes of seed "
        f"{config.seed}. In brackets: 95 % interval of the difference to the LSTM."
    )
    report.table(*_cells(rows))
    report.write(config.out / "report.html")


if __name__ == "__main__":
    prepare_gl(renders=False)
    run_study("msat", __doc__, StudyConfig, lambda config: make_table(run(config)["rows"]))
