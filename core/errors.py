"""The one error for bad input, and how a command ends with it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn


class InputError(ValueError):
    """What the user gave cannot be used.

    The message says what was given, what is allowed and how to mend it. The command line prints
    it as one line and exits with status 2.
    """


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Ends the command with one line on stderr and status 2 if what the user gave is no use."""
    try:
        yield
    except InputError as error:
        fail(str(error))


def fail(message: str) -> NoReturn:
    """Ends the command with one line on stderr and status 2."""
    print(f"opendactyl: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(2)
