"""Programs as rows of numbers, and their goals for many objects at once."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from opendactyl.geometry.rotation import Array, quat_multiply, yaw_quat
from opendactyl.policy.imitation.programs import (
    FACES,
    MAX_ACTIONS,
    SYMMETRIES,
    YAWS,
    Action,
    Program,
    face_up,
)

VOCABULARY = (
    *(Action("up", face=letter) for letter in FACES),
    *(Action("yaw", degrees=angle) for angle in YAWS),
    Action("back"),
)
"""The actions; a code is an index, `END` stands after the last action."""
END = len(VOCABULARY)
_UPS, _BACK = len(FACES), len(VOCABULARY) - 1
_NORMALS = np.array(list(FACES.values()))
_YAWS = yaw_quat(np.deg2rad(YAWS))


def encode_program(program: Program) -> NDArray[np.int64]:
    """The codes (MAX_ACTIONS + 1,) of a program's actions, then `END`."""
    codes = [VOCABULARY.index(action) for action in program.actions]
    return np.array(codes + [END] * (MAX_ACTIONS + 1 - len(codes)))


def _renaming() -> NDArray[np.int64]:
    """What becomes of each code (48, END + 1) under the cube's symmetries."""
    rows = []
    for names, sign in SYMMETRIES:
        ups = [Action("up", face=names[letter]) for letter in FACES]
        yaws = [Action("yaw", degrees=a if a == 180 else sign * a) for a in YAWS]
        rows.append([*(VOCABULARY.index(a) for a in (*ups, *yaws)), _BACK, END])
    return np.array(rows)


_RENAMED = _renaming()


def sample_codes(forms: NDArray[np.int64], count: int, rng: np.random.Generator) -> NDArray:
    """Draws `count` of the programs (F, MAX_ACTIONS + 1), each with letters renamed at random."""
    rows = forms[rng.integers(len(forms), size=count)]
    return np.take_along_axis(_RENAMED[rng.integers(len(_RENAMED), size=count)], rows, axis=1)


def goals(codes: NDArray[np.int64], last: Array, before: Array) -> Array:
    """Goal orientations (B, 4) of actions (B,); those of `END` are the last waypoints.

    Args:
        codes: the actions.
        last: the last waypoints (B, 4).
        before: the waypoints before them (B, 4).
    """
    found = np.where((codes == _BACK)[:, None], before, last)
    up, yaw = codes < _UPS, (codes >= _UPS) & (codes < _BACK)
    found[up] = face_up(last[up], _NORMALS[codes[up]])
    found[yaw] = quat_multiply(_YAWS[codes[yaw] - _UPS], last[yaw])
    return found


def upward(codes: NDArray[np.int64]) -> tuple[Array, NDArray[np.bool_]]:
    """The normals (..., 3) of the faces of `up`, and which codes (...,) are such."""
    up = codes < _UPS
    return _NORMALS[np.where(up, codes, 0)], up


def encode_programs(programs: Sequence[Program]) -> NDArray[np.int64]:
    """The codes (P, MAX_ACTIONS + 1) of programs."""
    rows = [encode_program(program) for program in programs]
    return np.array(rows, dtype=np.int64).reshape(-1, MAX_ACTIONS + 1)
