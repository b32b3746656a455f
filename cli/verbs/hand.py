"""`opendactyl hand`: draws, describes and calibrates a hand."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from opendactyl.cli.options import parse, prepare_backend
from opendactyl.cli.show import print_rows, run_action, save_picture
from opendactyl.core.errors import InputError

if TYPE_CHECKING:
    from opendactyl.sim.scene import Scene

USAGE = """\
usage: opendactyl hand show NAME|FILE --out PNG
       opendactyl hand record-plan --hand NAME|FILE --out CSV
       opendactyl hand fit --hand NAME|FILE --log FILE... --out DIR

show         draw a hand from three sides with its fingertips, landmarks and frame, and print its
             joints, actuators and files
record-plan  write targets whose motion tells the parameters of the robot's joints
fit          calibrate the simulated hand by logs of the robot

`opendactyl hand fit --help` lists the options."""


FIT_FILE = "fit.json"
FIT_SECONDS = 0.04
"""Time of a fit for each joint and second of the log: 24 joints and 180 s took 132 to 206 s on two
cores of an AMD EPYC (docs/calibration.md)."""
FIT_BYTES = 5e6


@dataclass(frozen=True, kw_only=True)
class ShowConfig:
    """Settings of `hand show`."""

    hand: tyro.conf.Positional[str]
    """Name of a shipped hand, or a hand file."""
    out: Path = Path("hand.png")
    """The image file to write."""


@dataclass(frozen=True, kw_only=True)
class RecordPlanConfig:
    """Settings of `hand record-plan`."""

    hand: str = "shadow"
    """Name of a shipped hand, or a hand file."""
    out: Path = Path("plan.csv")
    """The CSV file to write: a row of targets for every control period of 80 ms."""
    seconds: float = 180.0
    """Duration."""
    max_speed: float = 3.0
    """Largest speed of the targets, in rad/s."""
    margin: float = 0.1
    """Fraction of each actuator's range that is left out at either end."""
    seed: int = 0
    """Seed of the motions."""


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """Settings of `hand fit`."""

    hand: str
    """Name of a shipped hand, or a hand file, which may name the columns of the logs."""
    log: tuple[Path, ...]
    """Logs of one robot, as CSV or Parquet: time, targets, joint angles."""
    out: Path = Path("runs/hand")
    """Folder for hand.toml, mjcf/hand.xml, ranges.toml, fit.json and report.html."""
    threads: int = 0
    """Threads of the simulations; 0: one for each core."""


def main(argv: list[str]) -> None:
    """Runs `hand show`, `hand record-plan` or `hand fit`."""
    run_action("hand", argv, USAGE, {"show": show, "record-plan": record_plan, "fit": fit})


def show(options: list[str]) -> None:
    """Runs `hand show`."""
    config = parse(
        ShowConfig, "hand show", options, "Draws a hand from three sides, and describes it."
    )
    prepare_backend(options)
    from opendactyl.render.hand_picture import draw_hand
    from opendactyl.sim.scene import load_scene

    scene = load_scene(hand=config.hand)
    print_rows(describe(scene))
    save_picture(draw_hand(config.hand), config.out)


def record_plan(options: list[str]) -> None:
    """Runs `hand record-plan`."""
    config = parse(
        RecordPlanConfig, "hand record-plan", options,
        "Plans motions that tell the parameters of a hand: each actuator alone, then fingers, then "
        "all, inside the ranges, below a speed, and without collisions in simulation.",
    )  # fmt: skip
    prepare_backend(options, renders=False)
    from opendactyl.policy.calibration.plan import PlanConfig, make_plan, write_plan

    settings = {key: value for key, value in vars(config).items() if key not in ("hand", "out")}
    plan = make_plan(config.hand, PlanConfig(**settings))
    write_plan(plan, config.hand, config.out)
    print(f"{len(plan)} rows of targets in {config.out}; play each for 80 ms, and log the motion")


def fit(options: list[str]) -> None:
    """Runs `hand fit`."""
    config = parse(
        FitConfig, "hand fit", options,
        "Fits gains, damping, friction, offsets, delays and backlash of a hand to logs of it.",
    )  # fmt: skip
    prepare_backend(options, renders=False)
    from opendactyl.core.run_dir import announce, removed_on_failure
    from opendactyl.policy.calibration.calibrate import calibrate
    from opendactyl.policy.calibration.log import join, read_log
    from opendactyl.policy.calibration.results.outputs import write_fit, write_hand, write_ranges
    from opendactyl.policy.calibration.results.report import write_report
    from opendactyl.policy.calibration.simulation import empty_scene
    from opendactyl.sim.hands.mjcf import portable_model

    if not config.log:
        raise InputError("--log names no file; give one or several logs of the hand")
    scene = empty_scene(config.hand)
    portable_model(scene.hand)  # a model that cannot be written is known before the fit
    log = join([read_log(path, scene) for path in config.log])
    out = fit_folder(config.out)
    report, ranges = out / "report.html", out / "ranges.toml"
    with removed_on_failure(out):
        announce(out, FIT_SECONDS * log.joints.shape[1] * log.seconds, FIT_BYTES)
        calibration = calibrate(log, config.hand, threads=config.threads)
        write_fit(calibration, out / FIT_FILE)
        write_report(calibration, report)
    if calibration.refusal:
        raise InputError(
            f"the fit of hand {config.hand} is refused: {calibration.refusal}; see {report}, and "
            "record a motion that follows `hand record-plan`"
        )
    write_ranges(calibration, ranges)
    write_hand(calibration, out)
    before, after = calibration.errors
    print(
        f"error over 1 s in held-out blocks: {1e3 * before:.1f} mrad before, {1e3 * after:.1f} "
        f"mrad after; report in {report}\n"
        f"next: opendactyl train-policy --hand {config.hand} --randomization {ranges}"
    )


def describe(scene: "Scene") -> list[tuple[str, str]]:
    """Lines about the hand of a scene: a title and a text each."""
    hand = scene.hand
    joints = zip(hand.joints, scene.joint_range.tolist(), strict=True)
    ranges = zip(hand.actuators, scene.actuator_range.tolist(), strict=True)
    moved = scene.transmission.to_dict(hand)
    bodies = [b for b in range(1, scene.model.nbody) if b != scene.object_body]
    return [
        ("name", hand.name),
        ("model", str(hand.asset.path)),
        ("mass", f"{scene.model.body_mass[bodies].sum():.3g} kg"),
        ("joints", ", ".join(f"{name} {low:.2f} to {high:.2f}" for name, (low, high) in joints)),
        (
            "actuators",
            ", ".join(
                f"{name} ({' + '.join(moved[name])}) {low:.2f} to {high:.2f}"
                for name, (low, high) in ranges
            ),
        ),
        ("followers", scene.couplings.describe(hand.prefix)),
        ("fingertips", ", ".join(tip.name for tip in hand.fingertips)),
        ("drop", f"below {hand.drop_height:g} m"),
        ("landmarks", "chosen by visibility" if hand.landmarks is None else "given"),
        ("backlash", "not calibrated" if hand.backlash_exponents is None else "calibrated"),
        ("files", f"{len(hand.checksums.paths)}, with checksums in datasets and bundles"),
    ]


def fit_folder(out: Path) -> Path:
    """The folder of a fit, without the outputs of an earlier one that was refused.

    Raises:
        InputError: it is not empty.
    """
    from opendactyl.core.atomic_files import read_json
    from opendactyl.core.optional_files import exists
    from opendactyl.core.run_dir import new_folder

    earlier = out / FIT_FILE
    if exists(earlier) and read_json(earlier).get("accepted") is False:
        for path in (earlier, out / "report.html"):
            path.unlink(missing_ok=True)
    return new_folder(out, resume=None)
