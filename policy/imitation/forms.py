"""Random programs, and which of their forms are held out of training."""

import zlib
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from opendactyl.policy.imitation.codes import encode_programs
from opendactyl.policy.imitation.programs import FACES, YAWS, Program

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
