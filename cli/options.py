"""Options of a verb: a frozen dataclass in, its values from the command line out."""

import contextlib
import io
import re
import sys
from typing import TypeVar

import tyro

from opendactyl.files.errors import InputError

T = TypeVar("T")


def parse(config: type[T], verb: str, argv: list[str], description: str) -> T:
    """Reads a verb's options.

    Raises:
        InputError: an option is unknown or a value is wrong.
    """
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(
                config,
                prog=f"opendactyl {verb}",
                description=description,
                args=argv,
                config=(tyro.conf.FlagCreatePairsOff,),
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise InputError(_one_line(said.getvalue(), verb)) from None
    finally:
        sys.stdout.flush()


def _one_line(text: str, verb: str) -> str:
    """The substance of a boxed message."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    words = re.sub(r"[│╭╮╰╯─┌┐└┘]+", " ", plain).split()
    return f"{verb}: {' '.join(words)}; `opendactyl {verb} --help` lists the options"
