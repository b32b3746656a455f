"""What a fit leaves: the calibrated hand, ranges for training, and all numbers as JSON."""

import dataclasses
import json
import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from opendactyl.core.atomic_files import write_json, write_text
from opendactyl.core.config_fields import ByName, to_toml
from opendactyl.core.errors import file_errors
from opendactyl.policy.calibration.calibrate import Calibration
from opendactyl.policy.calibration.parameters import KINDS
from opendactyl.policy.randomization.backlash import UNCALIBRATED
from opendactyl.policy.randomization.config import PRESETS, RandomizationConfig
from opendactyl.sim.hands.mjcf import write_mjcf
from opendactyl.sim.hands.parameters import KINDS as MEASURED
from opendactyl.sim.hands.shipped import hand_spec
from opendactyl.sim.timing import CONTROL_PERIOD

DIGITS = 5
_REPLACED = ("parameters", "backlash")
"""Tables of a hand file that the fit writes anew."""


class Parameter(NamedTuple):
    """A fitted parameter in its unit."""

    kind: str
    name: str
    unit: str
    value: float
    low: float
    high: float
    """Ends of the 90 % interval."""
    determined: bool


def parameters(calibration: Calibration) -> list[Parameter]:
    """All parameters of a fit."""
    space, known = calibration.predictor.space, calibration.intervals
    ends = [
        {kind: values[0] for kind, values in space.values(x[None]).items()}
        for x in (calibration.fit.x, known.low, known.high)
    ]
    found = []
    for kind, part in space.slices.items():
        columns = (values[kind].tolist() for values in ends)
        labels, determined = space.labels[part], known.determined[part].tolist()
        for (_, name), value, low, high, known_ in zip(labels, *columns, determined, strict=True):
            found.append(Parameter(kind, name, KINDS[kind].unit, value, low, high, known_))
    return found


def ranges(calibration: Calibration) -> RandomizationConfig:
    """Preset `dactyl` with the intervals of all parameters that the log determines.

    The ranges are factors of, or additions to, the values of the model that was fitted.
    """
    scene, base = calibration.predictor.scene, PRESETS["dactyl"]
    hand, model = scene.hand, scene.model
    friction = dict(zip(hand.joints, model.dof_frictionloss[scene.joint_dof], strict=True))
    low, high = scene.actuator_range.T
    half = dict(zip(hand.actuators, (high - low) / 2, strict=True))
    tables: dict[str, dict[str, Any]] = {kind: {} for kind in (*KINDS, "centre")}
    for p in parameters(calibration):
        if not p.determined:
            continue
        ends = (p.low, p.high)
        if p.kind == "friction_loss":
            ends = (p.low - friction[p.name], p.high - friction[p.name])
        elif p.kind.startswith("slack"):
            ends = (p.low * half[p.name], p.high * half[p.name])
        tables[p.kind][p.name] = tuple(_round(end) for end in ends)
        if p.kind == "offset":
            tables["centre"][p.name] = _round(p.value)
            tables["offset"][p.name] = _round((p.high - p.low) / 2 / 1.645)
    return dataclasses.replace(
        base,
        hand=hand.name,
        actuator_gain=_named(base.actuator_gain, tables["gain"]),
        joint_damping=_named(base.joint_damping, tables["damping"]),
        joint_armature=_named(base.joint_armature, tables["armature"]),
        joint_friction=_named(base.joint_friction, tables["friction_loss"]),
        joint_offset=_named(base.joint_offset, tables["offset"]),
        joint_offset_centre=_named(base.joint_offset_centre, tables["centre"]),
        action_delay=0.0,
        actuator_delay=_named((0.0, CONTROL_PERIOD), tables["delay"]),
        backlash_calibrated=False,
        backlash=_named(UNCALIBRATED, tables["slack_down"]),
        backlash_up=_named(UNCALIBRATED, tables["slack_up"]),
    )


def write_ranges(calibration: Calibration, path: Path) -> None:
    """Writes the ranges as a file for `--randomization`."""
    hand = calibration.predictor.scene.hand
    head = (
        f"# Fitted ranges of the hand {hand.name}: 90 % intervals, relative to its model.\n"
        f"# Use: opendactyl train-policy --hand {hand.reference} --randomization {path}\n"
        "# Names that a table leaves out were not determined; they have its default.\n"
    )
    write_text(path, head + to_toml(ranges(calibration), "dactyl"))


def write_hand(calibration: Calibration, folder: Path) -> None:
    """Writes `hand.toml`, the hand with fitted parameters, and its model as `mjcf/hand.xml`.

    What the log does not determine keeps the value of the hand's file. The files of a hand of the
    user's own are copied beside `hand.toml`.

    Raises:
        InputError: the folder is not writable.
        EnvironmentFailure: the disk failed.
    """
    scene = calibration.predictor.scene
    hand, model = scene.hand, scene.model
    nominal = {
        "gain": dict(zip(hand.actuators, model.actuator_gainprm[:, 0], strict=True)),
        "damping": dict(zip(hand.joints, model.dof_damping[scene.joint_dof], strict=True)),
        "armature": dict(zip(hand.joints, model.dof_armature[scene.joint_dof], strict=True)),
    }
    values: dict[str, dict[str, float]] = {
        kind: dict(getattr(hand.parameters, kind)) for kind in MEASURED
    }
    own = hand.backlash_exponents
    exponents: dict[str, list[float]] = {"down": [], "up": []}
    for p in parameters(calibration):
        if p.kind.startswith("slack"):
            rates, number = exponents[p.kind.removeprefix("slack_")], int(p.kind == "slack_up")
            kept = None if own is None or p.determined else float(own[number, len(rates)])
            rates.append(_round(np.log(p.value)) if kept is None else kept)
        elif p.kind in values and p.determined:
            factor = 1.0 if p.kind == "friction_loss" else nominal[p.kind][p.name]
            values[p.kind][p.name] = _round(p.value * factor)
    lines = ["", "[parameters]  # fitted"]
    lines += [f"{kind} = {_inline(table)}" for kind, table in values.items() if table]
    lines += ["", "[backlash]  # fitted"]
    lines += [f"{direction} = {numbers}" for direction, numbers in exponents.items()]
    text = _without_tables(hand.path.read_text(encoding="utf-8"), hand.name)
    if not hand.is_default:
        with file_errors(f"cannot write {folder}", "name a folder that is writable"):
            for name, source in hand.checksums.paths.items():
                if source != hand.path:
                    (folder / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(source, folder / name)
    write_text(folder / "hand.toml", text + "\n".join(lines) + "\n")
    write_mjcf(hand_spec(str(folder / "hand.toml")), folder / "mjcf" / "hand.xml")


def write_fit(calibration: Calibration, path: Path) -> None:
    """Writes every number of a fit as JSON."""
    predictor, known = calibration.predictor, calibration.intervals
    spread = zip(known.curvature.tolist(), known.bootstrap.tolist(), strict=True)
    before, after = calibration.errors
    errors = zip(
        predictor.scene.hand.joints, calibration.before.tolist(), calibration.after.tolist(),
        calibration.excited.tolist(), calibration.fit.noise.tolist(), strict=True,
    )  # fmt: skip
    write_json(
        path,
        {
            "hand": predictor.scene.hand.name,
            "seconds": predictor.log.seconds,
            "command_period_s": predictor.commands.period,
            "accepted": not calibration.refusal,
            "refusal": calibration.refusal,
            "error_1s_rad": {"before": before, "after": after},
            "joints": [
                {"name": n, "before": b, "after": a, "excited": e, "residual": r}
                for n, b, a, e, r in errors
            ],
            "parameters": [
                p._asdict() | {"deviation_curvature": c, "deviation_bootstrap": b}
                for p, (c, b) in zip(parameters(calibration), spread, strict=True)
            ],
        },
    )


def _named(default: Any, values: dict[str, Any]) -> Any:
    return ByName(default, values) if values else default


def _round(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _inline(table: dict[str, float]) -> str:
    return "{ " + ", ".join(f"{json.dumps(k)} = {v}" for k, v in table.items()) + " }"


def _without_tables(text: str, name: str) -> str:
    """The text of a hand file under a name of its own, without the tables that are replaced."""
    tables = re.split(r"(?m)^(?=\[)", text)
    kept = [t for t in tables if not re.match(rf"\[\s*({'|'.join(_REPLACED)})\b", t)]
    head = re.sub(r"(?m)^name\s*=.*\n", "", kept[0])
    return f'name = "{name}-fitted"\n{head}' + "".join(kept[1:]).rstrip() + "\n"
