"""Options of a verb: a frozen dataclass in, its values from the command line out."""

import contextlib
import io
import os
import re
import sys
from typing import TypeVar

import tyro

from opendactyl.core.config_fields import former_options
from opendactyl.core.errors import InputError
from opendactyl.render.opengl.backend import choose

T = TypeVar("T")


def choose_backend(argv: list[str]) -> None:
    """Chooses how to draw, before anything imports MuJoCo; help is had without."""
    if not {"-h", "--help"} & set(argv):
        choose()


def parse(
    config: type[T], verb: str, argv: list[str], description: str, default: T | None = None
) -> T:
    """Reads a verb's options; `default` has the values of those that are not given.

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
                args=_with_present_names(config, argv),
                default=tyro.MISSING_NONPROP if default is None else default,
                config=(tyro.conf.FlagCreatePairsOff,),
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise InputError(_one_line(said.getvalue(), verb)) from None
    except BrokenPipeError:
        # Whoever read the help, `head` say, has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    finally:
        sys.stdout.flush()


def _with_present_names(config: type, argv: list[str]) -> list[str]:
    """The arguments with former names of options replaced by the present ones."""
    former = former_options(config)
    words = []
    for word in argv:
        option, equals, value = word.partition("=")
        words.append(former.get(option.replace("_", "-"), option) + equals + value)
    return words


def value_of(option: str, argv: list[str]) -> str | None:
    """The value given to an option, if it is given: for what has to be known before the rest."""
    for number, word in enumerate(argv):
        if word == option and number + 1 < len(argv):
            return argv[number + 1]
        if word.startswith(option + "="):
            return word.split("=", 1)[1]
    return None


def _one_line(text: str, verb: str) -> str:
    """The substance of a boxed message: what is wrong, and the option that was meant."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    rows = [row.strip("│ ") for row in plain.splitlines() if not row.startswith(("╭", "╰"))]
    parts = re.split(r"\n[─-]+\n", "\n".join(rows))
    # Where the terminal has no Unicode, the box has no border, and its title is a part.
    what, *more = parts if plain.startswith("╭") else parts[1:] or parts
    what = " ".join(what.split()).rstrip(".")
    similar = [part for part in more if part.startswith(("Perhaps", "Arguments similar"))]
    meant = re.findall(r"^(--[\w-]+)", "\n".join(similar), re.MULTILINE)
    guess = f"did you mean {' or '.join(dict.fromkeys(meant))}? " if meant else ""
    return f"{verb}: {what}; {guess}`opendactyl {verb} --help` lists the options"
