"""The poses of a recording, as `opendactyl estimate` writes them."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from opendactyl.control.estimation.results import CSV_FILE
from opendactyl.core.errors import InputError
from opendactyl.core.optional_files import read_optional
from opendactyl.geometry.rotation import Array, quat_canonical
from opendactyl.policy.interface.keyframes import FRAME_PERIOD, resample

SHORTEST = 2 * FRAME_PERIOD
"""Shortest recording in seconds."""


def recorded_orientations(folder: Path) -> Array:
    """The orientations (T, 4) in a recording's poses.csv, one every `FRAME_PERIOD`.

    Pictures have no times: they count as taken at that period, in which a picture without a pose
    leaves a gap if they are numbered.

    Raises:
        InputError: there is no such file, or it holds no poses in the order of time.
        EnvironmentFailure: the disk failed.
    """
    path = folder / CSV_FILE
    content = read_optional(path)
    if content is None:
        raise InputError(
            f"{path} does not exist; make it with `opendactyl estimate --images {folder} --out "
            f"{folder}`"
        )
    try:
        rows = list(csv.DictReader(content.decode().splitlines()))
        quaternions = [[float(row[f"quaternion_{axis}"]) for axis in "wxyz"] for row in rows]
        times = _times(rows)
        found = quat_canonical(np.reshape(quaternions, (-1, 4)))
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise InputError(f"{path} holds no poses ({error!r}); make it again") from error
    if not (np.isfinite(times).all() and np.isfinite(found).all()):
        raise InputError(f"{path} holds numbers that are not finite; make it again")
    if len(times) < 2 or times[-1] - times[0] < SHORTEST or not (np.diff(times) > 0).all():
        raise InputError(f"{path} must hold poses of at least {SHORTEST:g} s, in the order of time")
    return resample(times, found)


def _times(rows: Sequence[Mapping[str, str]]) -> Array:
    """Times (T,) of the rows in seconds."""
    if all(row["seconds"] for row in rows):
        return np.array([float(row["seconds"]) for row in rows])
    if len(rows) > 1 and all(row["frame"].isdecimal() for row in rows):
        numbers = np.array([int(row["frame"]) for row in rows])
        step = max(np.diff(numbers).min(), 1)
        return ((numbers - numbers[0]) / step * FRAME_PERIOD).astype(np.float64)
    return np.arange(len(rows), dtype=np.float64) * FRAME_PERIOD
