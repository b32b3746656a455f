"""Random programs, which of them have the same goals, and which forms are held out of training."""

import zlib
from collections.abc import Callable, Sequence, Set

import numpy as np
from numpy.typing import NDArray

from opendactyl.core.errors import InputError
from opendactyl.geometry.rotation import Array, geodesic_angle, random_quat
from opendactyl.policy.imitation.codes import VOCABULARY, encode_programs
from opendactyl.policy.imitation.predicate import TOLERANCE
from opendactyl.policy.imitation.programs import FACES, YAWS, Action, Program

LENGTHS = (0.1, 0.25, 0.35, 0.3)
"""Probabilities of one to four actions in a program, before it is sometimes repeated."""
TRAINED_LENGTHS = (0.05, 0.15, 0.25, 0.25, 0.15, 0.15)
"""Probabilities of one to six actions in the programs of a training."""
FORMS, FORMS_STEPS = 1000, 200
"""Programs that are drawn at once, and the steps for which they serve."""
RECORDED = 0.1
"""Programs of recordings for each that is drawn."""
HELD_OUT, VALIDATION = 4, 20
"""Of the forms of programs with three or more actions, one in this many is kept for tests, and one
for the validation of a training."""
DEVELOPMENT, DEVELOPED = 9000, 40
"""Seed and number of the programs on which the network was developed."""
DRAWS = 1000
"""Programs that are drawn for each wanted one, until forms are taken to be exhausted."""
_STARTS = random_quat(np.random.default_rng(0), (6,))
_SAME = 1e-3
"""Largest angle in radians between goals that are the same."""


def sample_program(rng: np.random.Generator, lengths: Sequence[float] = LENGTHS) -> Program:
    """Draws a program without idle actions.

    Args:
        rng: random number generator.
        lengths: probabilities of one and more actions; a repeated program has no more than the
            most of these.
    """
    while True:
        steps = [_sample_step(rng)]
        for _ in range(int(rng.choice(len(lengths), p=lengths))):
            back = rng.random() < 0.35
            steps += ["then", "back" if back else _sample_step(rng)]
        if rng.random() < 0.25:
            steps.append("repeat 2")
        program = Program(tuple(steps))
        expected = (1 + steps.count("then")) * (1 + steps.count("repeat 2"))
        if expected <= len(lengths) and len(program.actions) == expected:
            return program


def _sample_step(rng: np.random.Generator) -> str:
    if rng.random() < 0.5:
        return f"up {rng.choice(list(FACES))}"
    return f"yaw {rng.choice(YAWS)}"


def held_out(program: Program) -> bool:
    """Whether programs of this form are kept for tests, and in no training."""
    return len(program.actions) >= 3 and _checksum(program) % HELD_OUT == 0


def for_validation(program: Program) -> bool:
    """Whether programs of this form are kept for the validation of a training."""
    return len(program.actions) >= 3 and _checksum(program) % VALIDATION == 1


def programs_for_tests(count: int, seed: int) -> list[Program]:
    """Programs of different forms whose goals neither a training nor the development has.

    With the seed `DEVELOPMENT` those of the development, which are only of forms held out.

    Raises:
        InputError: there are not that many forms.
    """
    rng = np.random.default_rng(seed)
    if seed == DEVELOPMENT:
        return _different_forms(rng, count)
    developed = programs_for_tests(DEVELOPED, DEVELOPMENT)
    known = {other.kind for program in developed for other in synonyms(program)}
    return _different_forms(rng, count, lambda program: unseen(program, known))


def _different_forms(
    rng: np.random.Generator, count: int, wanted: Callable[[Program], bool] = lambda _: True
) -> list[Program]:
    found, tried = list[Program](), set[str]()
    for _ in range(DRAWS * count):
        program = sample_program(rng)
        if program.kind not in tried and held_out(program) and wanted(program):
            found.append(program)
        tried.add(program.kind)
        if len(found) == count:
            return found
    raise InputError(f"only {len(found)} forms of programs were found, of {count}")


def unseen(program: Program, known: Set[str] = frozenset()) -> bool:
    """Whether no training learns a program with the same goals, however it is written.

    Nor is it of a form in `known`, by `Program.kind`.
    """
    return all(
        (held_out(other) or for_validation(other)) and other.kind not in known
        for other in synonyms(program)
    )


def synonyms(program: Program) -> list[Program]:
    """The programs with the same goals from every start, this one among them.

    After `yaw 180`, for example, `back` and another `yaw 180` mean the same.
    """
    tracks = [[start] for start in _STARTS]
    found: list[list[str]] = [[]]
    for action in program.actions:
        goals = _goals(action, tracks)
        alike = [
            str(other)
            for other in VOCABULARY
            if (found[0] or other.kind != "back")
            and geodesic_angle(_goals(other, tracks), goals).max() < _SAME
        ]
        found = [[*steps, *(["then"] if steps else []), step] for steps in found for step in alike]
        tracks = [[*track, goal] for track, goal in zip(tracks, goals, strict=True)]
    programs = [Program(tuple(steps)) for steps in found]
    return [p for p in programs if len(p.actions) == len(program.actions)]


def ambiguous(program: Program, reached: Array) -> bool:
    """Whether waypoints (K + 1, 4) show a program with other goals as well.

    That program differs in one action, or has one less. From a start with P up, for example,
    `up O then up P` and `up O then back` cannot be told apart.
    """
    alike = {other.actions for other in synonyms(program)}
    for number in range(len(program.actions)):
        before, after = reached[: number + 1], reached[number + 1]
        if geodesic_angle(before[-1], after) < TOLERANCE:
            return True
        for other in VOCABULARY:
            if other.kind == "back" and not number:
                continue
            actions = (*program.actions[:number], other, *program.actions[number + 1 :])
            if actions not in alike and geodesic_angle(other.goal(before), after) < TOLERANCE:
                return True
    return False


def _goals(action: Action, tracks: Sequence[Sequence[Array]]) -> Array:
    """The goals (S, 4) of an action after the waypoints of S tracks."""
    return np.array([action.goal(np.array(track)) for track in tracks])


def _checksum(program: Program) -> int:
    return zlib.crc32(program.kind.encode())


def training_programs(rng: np.random.Generator, count: int) -> list[Program]:
    """Draws programs for the training: of no form that is kept for tests or validation."""
    return _programs(rng, count, lambda program: not (held_out(program) or for_validation(program)))


def validation_programs(rng: np.random.Generator, count: int) -> list[Program]:
    """Draws programs of the forms that are kept for the validation of a training."""
    return _programs(rng, count, for_validation)


class TrainingForms:
    """The programs of a training as codes, drawn anew every `FORMS_STEPS` steps."""

    def __init__(self, seed: int, recorded: Sequence[Program] = ()) -> None:
        """Of the programs `RECORDED` are those of recordings, if there are any."""
        self._seed, self._recorded = seed, encode_programs(recorded)
        self._number = -1

    def at(self, step: int) -> NDArray[np.int64]:
        """The programs (F, MAX_ACTIONS + 1) at a step; they depend on the seed and it alone."""
        number = step // FORMS_STEPS
        if number != self._number:
            rng = np.random.default_rng([self._seed, number, 1])
            drawn, recorded = encode_programs(training_programs(rng, FORMS)), self._recorded
            count = round(RECORDED * FORMS) if len(recorded) else 0
            more = recorded[rng.integers(max(len(recorded), 1), size=count)]
            self._number, self._forms = number, np.concatenate([drawn, more])
        return self._forms


def _programs(
    rng: np.random.Generator, count: int, wanted: Callable[[Program], bool]
) -> list[Program]:
    found = (sample_program(rng, TRAINED_LENGTHS) for _ in iter(int, 1))
    kept = (program for program in found if wanted(program))
    return [next(kept) for _ in range(count)]
