"""Random programs, and which of their forms are held out of training."""

import zlib
from collections.abc import Sequence

import numpy as np

from opendactyl.policy.imitation.programs import FACES, YAWS, Program

LENGTHS = (0.1, 0.25, 0.35, 0.3)
"""Probabilities of one to four actions in a program, before it is sometimes repeated."""
TRAINED, TRAINED_LENGTHS = 5000, (0.05, 0.15, 0.25, 0.25, 0.15, 0.15)
"""Programs of a training, and probabilities of one to six actions in them."""
HELD_OUT = 4
"""Of the forms of programs with three or more actions, one in this many is kept for tests."""


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
    """Whether programs of this form are kept for tests, so that no training sees one."""
    checksum = zlib.crc32(program.kind.encode())
    return len(program.actions) >= 3 and checksum % HELD_OUT == 0


def training_forms(seed: int, count: int = TRAINED) -> list[Program]:
    """Programs for the training, none of a form that is held out for tests."""
    rng = np.random.default_rng(seed)
    found = (sample_program(rng, TRAINED_LENGTHS) for _ in iter(int, 1))
    kept = (program for program in found if not held_out(program))
    return [next(kept) for _ in range(count)]
