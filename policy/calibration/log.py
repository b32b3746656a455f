"""Logs of a hand's motion: reading, units, and checks that they can be used."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from opendactyl.core.errors import InputError, file_errors
from opendactyl.geometry.rotation import Array
from opendactyl.sim.hands.log_columns import TIME_UNITS
from opendactyl.sim.scene import Scene

MIN_SECONDS = 20.0
"""Shortest duration: three blocks (`windows.BLOCK`), of which one is held out."""
MAX_INTERVAL = 1 / 32
"""Longest sampling interval in seconds; from rarer samples, the times of commands are not known."""
MIN_MOTION = 0.05
"""Distance in radians that an excited joint moves at least."""
LARGEST_ANGLE = 10.0
"""Larger angles, in radians, are taken for degrees."""
OUTSIDE = 0.5
"""Distance in radians by which no joint leaves its range."""


@dataclass(frozen=True, eq=False)
class Log:
    """Samples of a motion, in seconds, radians and N m."""

    where: str
    """The file, for messages."""
    time: Array
    """(N,), increasing."""
    targets: Array
    """(N, A)."""
    joints: Array
    """(N, J)."""
    velocities: Array | None = None
    """(N, J)."""
    efforts: Array | None = None
    """Torques of the actuators (N, A)."""

    @property
    def seconds(self) -> float:
        """Duration."""
        return float(self.time[-1] - self.time[0])

    @property
    def interval(self) -> float:
        """Median sampling interval in seconds."""
        return float(np.median(np.diff(self.time)))

    @property
    def motion(self) -> Array:
        """Distance that each joint moves (J,): between the 2nd and the 98th percentile."""
        low, high = np.percentile(self.joints, [2, 98], axis=0)
        return high - low


def read_log(path: Path, scene: Scene) -> Log:
    """Reads the log of a hand, whose file names the columns (`HandSpec.log`).

    Raises:
        InputError: a column is missing, or the log cannot be used.
        EnvironmentFailure: the disk failed.
    """
    hand, where = scene.hand, f"log {path}"
    columns = hand.log
    table = _read_table(path)

    def matrix(kind: str, names: Sequence[str], *, required: bool) -> Array | None:
        wanted = [columns.column(kind, name) for name in names]  # pyright: ignore[reportArgumentType]
        missing = [name for name in wanted if name not in table]
        if missing and (required or len(missing) < len(wanted)):
            raise _missing(where, missing[0], list(table), hand.where)
        return None if missing else np.stack([table[name] for name in wanted], axis=1)

    if columns.time not in table:
        raise _missing(where, columns.time, list(table), hand.where)
    unit = np.pi / 180 if columns.angle_unit == "deg" else 1.0
    targets = matrix("target", hand.actuators, required=True)
    joints = matrix("joint", hand.joints, required=True)
    velocities = matrix("velocity", hand.joints, required=False)
    efforts = matrix("effort", hand.actuators, required=False)
    assert targets is not None and joints is not None
    time = table[columns.time]
    valid = np.isfinite(time)
    for values in (targets, joints, velocities, efforts):
        if values is not None:
            valid &= np.isfinite(values).all(axis=1)
    if valid.sum() < 2:
        raise InputError(f"{where} has no complete samples; record it again")
    seconds = (time - time[valid][0]) * TIME_UNITS[columns.time_unit]
    log = Log(
        where, seconds[valid], targets[valid] * unit, joints[valid] * unit,
        None if velocities is None else velocities[valid] * unit,
        None if efforts is None else efforts[valid],
    )  # fmt: skip
    check(log, scene)
    return log


def check(log: Log, scene: Scene) -> None:
    """Checks that a log can be used.

    Raises:
        InputError: it cannot; the message says why.
    """
    steps = np.diff(log.time)
    if np.any(steps <= 0):
        row = int(np.argmax(steps <= 0))
        raise InputError(
            f"{log.where}: the clock runs backwards or stops after row {row + 1} (at "
            f"{log.time[row]:.4f} s, then {log.time[row + 1]:.4f} s); use a monotonic clock"
        )
    if log.seconds < MIN_SECONDS or log.interval > MAX_INTERVAL:
        raise InputError(
            f"{log.where} has {log.seconds:.1f} s at {1 / log.interval:.0f} Hz; record at least "
            f"{MIN_SECONDS:g} s at {1 / MAX_INTERVAL:.0f} Hz, or correct time_unit in [log]"
        )
    largest = max(np.abs(log.targets).max(), np.abs(log.joints).max())
    if largest > LARGEST_ANGLE:
        raise InputError(
            f"{log.where} has angles up to {largest:.0f}, which look like degrees; set "
            'angle_unit = "deg" in the table [log] of the hand\'s file'
        )
    _check_ranges(log, scene)
    if log.motion.max() < MIN_MOTION:
        raise InputError(
            f"{log.where} has no motion: no joint moves by more than {log.motion.max():.3f} rad; "
            "play the plan of `hand record-plan` on the robot"
        )
    low, high = scene.actuator_range.T
    reach = 0.01 * (high - low)
    saturated = np.mean((log.targets <= low + reach) | (log.targets >= high - reach))
    if saturated > 0.5:
        raise InputError(
            f"{log.where} is saturated: {saturated:.0%} of the targets are at the ends of their "
            "ranges; play the plan of `hand record-plan`, which stays inside"
        )


def _check_ranges(log: Log, scene: Scene) -> None:
    low, high = scene.joint_range.T
    outside = np.maximum(low - log.joints, log.joints - high)
    worst = int(np.argmax(np.median(outside, axis=0)))
    if np.percentile(outside[:, worst], 75) > OUTSIDE:
        name = scene.hand.joints[worst]
        first, last = log.joints[:, worst].min(), log.joints[:, worst].max()
        raise InputError(
            f"{log.where} is of another hand, or its columns are mixed up: {name} is from "
            f"{first:.2f} to {last:.2f} rad, but the model allows {low[worst]:.2f} to "
            f"{high[worst]:.2f}; correct --hand or the table [log] of the hand's file"
        )


def _missing(where: str, column: str, columns: list[str], hand: str) -> InputError:
    shown = ", ".join(columns[:6]) + (" …" if len(columns) > 6 else "")
    return InputError(
        f"{where} has no column {column!r} (it has {shown}): it is of another hand, or the table "
        f"[log] of {hand} must name its columns"
    )


def _read_table(path: Path) -> dict[str, NDArray[np.float64]]:
    with file_errors(f"cannot read the log {path}", "correct --log"):
        if path.suffix.lower() in (".parquet", ".pq"):
            return _read_parquet(path)
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    lines = text.splitlines()
    names = [name.strip().strip('"') for name in lines[0].split(",")] if lines else []
    try:
        rows = lines[1:] or [",".join(["nan"] * (len(names) + 1))]  # refused below
        values = np.genfromtxt(rows, delimiter=",", ndmin=2, dtype=np.float64)
    except ValueError as error:
        raise InputError(f"log {path} is not a CSV file: {str(error).splitlines()[0]}") from error
    if values.size == 0 or values.shape[1] != len(names):
        raise InputError(
            f"log {path} has {len(names)} columns in its first line, and no rows, or others of "
            "another length; it must be a CSV file with a line of names, or a .parquet file"
        )
    return dict(zip(names, values.T, strict=True))


def _read_parquet(path: Path) -> dict[str, NDArray[np.float64]]:
    try:
        import pyarrow.parquet as parquet  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError as error:
        raise InputError(
            f"log {path} needs the package pyarrow: pip install pyarrow, or write it as CSV"
        ) from error
    try:
        table = parquet.read_table(path)
        columns = {name: table[name].to_numpy() for name in table.column_names}
        return {
            name: np.asarray(values, dtype=np.float64)
            for name, values in columns.items()
            if np.issubdtype(values.dtype, np.number)
        }
    except ValueError as error:  # those of pyarrow are
        raise InputError(f"log {path} is not a Parquet file: {error!s:.200}") from error


def join(logs: Sequence[Log]) -> Log:
    """Several logs one after the other, with 10 s between them.

    Raises:
        InputError: some have velocities or efforts and others have not.
    """
    times, shift = [], 0.0
    for log in logs:
        times.append(log.time - log.time[0] + shift)
        shift = times[-1][-1] + 10.0

    def stacked(name: str) -> Array | None:
        values = [getattr(log, name) for log in logs]
        if all(value is None for value in values):
            return None
        if any(value is None for value in values):
            raise InputError(f"some of the logs have {name} and others have not; record all alike")
        return np.concatenate(values)

    targets, joints = stacked("targets"), stacked("joints")
    assert targets is not None and joints is not None
    where = ", ".join(log.where for log in logs)
    return Log(
        where, np.concatenate(times), targets, joints, stacked("velocities"), stacked("efforts")
    )
