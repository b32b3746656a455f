"""Programs: what is to be done with the object, relative to where it lies. Needs no simulator.

A program is a list of steps. `up F` rotates face F up, at any yaw; `yaw 90` rotates about the
vertical from wherever the object lies; `back` returns to the orientation before the previous
action. `then` separates actions: the object rests. `repeat 2` does everything so far twice.
"""

import itertools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from opendactyl.core.atomic_files import parse_toml
from opendactyl.core.errors import InputError, file_errors
from opendactyl.geometry.rotation import (
    Array,
    quat_canonical,
    quat_from_axis_angle,
    quat_multiply,
    quat_rotate,
    yaw_quat,
)
from opendactyl.sim.objects.shipped import OBJECTS

BLOCK = "block"
FACES: Mapping[str, Array] = {
    face.letter: np.round(face.frame[:3, 2]) for face in OBJECTS[BLOCK].faces
}
"""Outward normals (3,) of the block's faces, in its own frame, by letter."""
YAWS = (90, 180, -90)
"""Angles of `yaw` in degrees. Smaller ones would not stand out from the tolerance of a goal."""
MAX_ACTIONS = 6
"""Largest number of actions of a program, repetitions included."""
LONGEST = 1000
"""Actions, idle ones included, beyond which repetitions are not written out."""
PROGRAMS = Path(__file__).resolve().parents[2] / "configs" / "programs"
"""The shipped programs, a TOML file each."""
_ACTION = re.compile(r"(up) ([A-Z])|(yaw) ([+-]?\d{1,4})|(back)")


@dataclass(frozen=True)
class Action:
    """One action of a program."""

    kind: str
    """up, yaw or back."""
    face: str = ""
    """The face of `up`, a key of `FACES`."""
    degrees: int = 0
    """The angle of `yaw`, one of `YAWS`."""

    def __str__(self) -> str:
        return " ".join([self.kind, *([self.face] if self.face else [])]) + (
            f" {self.degrees}" if self.degrees else ""
        )

    def goal(self, waypoints: Array) -> Array:
        """The goal orientation (4,) after waypoints (K, 4), of which the first is the start."""
        last = waypoints[-1]
        if self.kind == "back":
            return waypoints[-2]
        if self.kind == "yaw":
            return quat_canonical(quat_multiply(yaw_quat(np.deg2rad(self.degrees)), last))
        return face_up(last, FACES[self.face])


def face_up(quat: Array, normal: Array) -> Array:
    """The orientations nearest to `quat` (..., 4) with the face of `normal` (..., 3) up."""
    direction = quat_rotate(quat, normal)
    # direction × z; upside down, any horizontal axis will do.
    axis = direction[..., [1, 0, 2]] * [1.0, -1.0, 0.0] + [1e-9, 0.0, 0.0]
    angle = np.arctan2(np.linalg.norm(axis, axis=-1), direction[..., 2])
    return quat_canonical(quat_multiply(quat_from_axis_angle(axis, angle), quat))


@dataclass(frozen=True)
class Program:
    """A program: its steps as they are written, and the actions they mean."""

    steps: tuple[str, ...]
    """The steps, in order."""
    name: str = ""
    """The name of its file."""

    def __str__(self) -> str:
        return " ".join(self.steps)

    @cached_property
    def actions(self) -> tuple[Action, ...]:
        """The actions, with repetitions and without those that change nothing.

        Raises:
            InputError: the steps are no program.
        """
        actions = _without_idle(_parse(self.steps))
        if len(actions) > MAX_ACTIONS:
            raise InputError(f"{len(actions)} actions, repetitions included; at most {MAX_ACTIONS}")
        return actions

    @cached_property
    def kind(self) -> str:
        """The program up to the object's symmetries: equal for programs of the same form.

        Letters may be renamed as a rotation or reflection of the cube does it; a reflection also
        reverses yaw.
        """
        return min(
            " ".join(_renamed(action, names, sign) for action in self.actions)
            for names, sign in SYMMETRIES
        )


def load_program(name: str) -> Program:
    """A shipped program by name, or that of a TOML file with a list `steps`.

    Raises:
        InputError: no such program or file, or its steps are no program.
        EnvironmentFailure: the disk failed.
    """
    shipped = sorted(path.stem for path in PROGRAMS.glob("*.toml"))
    path = PROGRAMS / f"{name}.toml" if name in shipped else Path(name)
    if path.suffix != ".toml":
        raise InputError(f"no program {name!r}; name a .toml file or one of {', '.join(shipped)}")
    with file_errors(f"cannot read the program {name}"):
        content = path.read_bytes()
    remedy = 'write a list of steps, such as steps = ["up P", "then", "yaw 90", "then", "back"]'
    try:
        table = parse_toml(content)
    except ValueError as error:
        raise InputError(f"program {name} is not TOML ({error}); {remedy}") from error
    if set(table) != {"steps"}:
        raise InputError(f"program {name} has the keys {', '.join(table) or 'none'}; {remedy}")
    steps = table["steps"]
    if not isinstance(steps, list) or not all(isinstance(step, str) for step in steps):
        raise InputError(
            f"program {name}: steps is {steps!r} and must be a list of texts; {remedy}"
        )
    program = Program(tuple(steps), path.stem)
    try:
        _ = program.actions
    except InputError as error:
        raise InputError(f"program {name}: {error}") from error
    return program


def _parse(steps: Iterable[str]) -> list[Action]:
    actions: list[Action] = []
    separated = True
    for step in steps:
        if step == "then":
            if separated:
                raise InputError("`then` stands between two actions; remove the one without")
            separated = True
        elif repeat := re.fullmatch(r"repeat (\d{1,4})", step):
            if separated or not 2 <= int(repeat[1]) <= MAX_ACTIONS:
                raise InputError(
                    f"`{step}` must follow an action, and repeat 2 to {MAX_ACTIONS} times"
                )
            actions *= int(repeat[1])
            if len(actions) > LONGEST:
                raise InputError(f"`{step}` makes {len(actions)} actions; at most {MAX_ACTIONS}")
        elif not separated:
            raise InputError(f"`{step}` follows an action; write `then` before it")
        else:
            actions.append(_action(step, first=not actions))
            separated = False
    if not actions or separated:
        raise InputError("a program must end in an action: up F, yaw 90, back or repeat 2")
    return actions


def _action(step: str, *, first: bool) -> Action:
    match = _ACTION.fullmatch(step)
    if match is None:
        raise InputError(f"no step {step!r}; the steps are up F, yaw 90, back, then, repeat 2")
    if match[5]:
        if first:
            raise InputError("`back` cannot be the first action: there is nothing to go back to")
        return Action("back")
    if match[1] and match[2] not in FACES:
        raise InputError(f"no face {match[2]!r}; the block has {', '.join(FACES)}")
    if match[3] and int(match[4]) not in YAWS:
        raise InputError(f"`{step}`: yaw takes {', '.join(map(str, YAWS))} degrees")
    return Action("up", face=match[2]) if match[1] else Action("yaw", degrees=int(match[4]))


def _without_idle(actions: list[Action]) -> tuple[Action, ...]:
    """Leaves out `up F` where F is up already."""
    kept: list[Action] = []
    upper = [""]
    for action in actions:
        if action.kind == "up" and action.face == upper[-1]:
            continue
        kept.append(action)
        upper.append({"up": action.face, "yaw": upper[-1], "back": upper[-2:][0]}[action.kind])
    return tuple(kept)


def _symmetries() -> list[tuple[dict[str, str], int]]:
    """The cube's 48 symmetries: what becomes of each letter, and -1 for a reflection."""
    letters = {tuple(normal): letter for letter, normal in FACES.items()}
    found = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            matrix = np.eye(3)[list(order)] * np.array(signs)[:, None]
            names = {a: letters[tuple(matrix @ normal + 0.0)] for a, normal in FACES.items()}
            found.append((names, round(np.linalg.det(matrix))))
    return found


SYMMETRIES = _symmetries()


def _renamed(action: Action, names: Mapping[str, str], sign: int) -> str:
    degrees = action.degrees if action.degrees == 180 else sign * action.degrees
    return str(Action(action.kind, names.get(action.face, ""), degrees))


def check_object(name: str) -> None:
    """Raises an `InputError` unless the object has the faces that programs name."""
    if name != BLOCK:
        raise InputError(
            f"programs name the faces {', '.join(FACES)} of the {BLOCK}; the {name} has others: "
            f"use a bundle of the {BLOCK}"
        )
