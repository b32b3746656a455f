"""Errors that end a command, and their exit statuses.

| error | cause | exit status |
|---|---|---|
| `InputError` | the user's input; the message says how to correct it | 2 |
| `EnvironmentFailure` | disk, driver, worker process, cluster, or a training that diverged | 3 |
| any other | a fault of OpenDactyl | 1 |

`--debug`, or the environment variable `OPENDACTYL_DEBUG=1`, prints the traceback of all three.
"""

import errno
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from opendactyl.core.terminal import accept_any_encoding

DEBUG_VARIABLE = "OPENDACTYL_DEBUG"
INTERNAL_STATUS, INPUT_STATUS, ENVIRONMENT_STATUS = 1, 2, 3
_SYSTEM_ERRNOS = frozenset(
    {
        errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOMEM, errno.EMFILE,
        errno.ENFILE, errno.EAGAIN, errno.ESTALE, errno.ENODEV, errno.ENXIO,
    }
)  # fmt: skip
"""Error numbers that are caused by the machine, not by a path that the user gave."""


class OpenDactylError(Exception):
    """Base of the errors that the command reports in one line, without calling them internal."""

    status = INTERNAL_STATUS


class InputError(OpenDactylError):
    """The user's input cannot be used.

    The message says what was given, what is allowed and how to correct it.
    """

    status = INPUT_STATUS


class EnvironmentFailure(OpenDactylError):
    """The environment failed: a full disk, a GL driver, a dead worker, an unreachable cluster.

    The message says what failed and how to continue.
    """

    status = ENVIRONMENT_STATUS


def file_error(message: str, error: OSError, remedy: str = "") -> OpenDactylError:
    """The error to raise for a failed file operation.

    Args:
        message: what was attempted, with the path.
        error: what the operating system reported.
        remedy: how the user can correct a wrong path.

    Returns:
        An `EnvironmentFailure` for a full disk, an I/O error or exhausted memory or file handles;
        an `InputError` for a path that is missing, of the wrong kind or not permitted.
    """
    text = f"{message}: {error.strerror or error}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return EnvironmentFailure(f"{text}; make free space on the disk")
    if error.errno in _SYSTEM_ERRNOS:
        return EnvironmentFailure(text)
    return InputError(f"{text}; {remedy}" if remedy else text)


@contextmanager
def file_errors(message: str, remedy: str = "") -> Iterator[None]:
    """Raises an `OSError` of the block as the error that `file_error` returns for it."""
    try:
        yield
    except OSError as error:
        raise file_error(message, error, remedy) from error


def debugging() -> bool:
    """Whether tracebacks are printed."""
    return os.environ.get(DEBUG_VARIABLE, "") not in ("", "0")


def take_debug_option(argv: list[str]) -> list[str]:
    """Removes `--debug` from the arguments; it sets the variable, which subprocesses inherit."""
    if "--debug" in argv:
        os.environ[DEBUG_VARIABLE] = "1"
    return [word for word in argv if word != "--debug"]


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Ends the command with one line on stderr and the exit status of the error.

    A `BrokenPipeError` passes: the reader of the output has closed it. An unknown error while a
    `KeyboardInterrupt` passes through becomes that interrupt: one that arrives between the taking
    and the releasing of a lock ends as "cannot release un-acquired lock".
    """
    accept_any_encoding()
    try:
        yield
    except BrokenPipeError:
        raise
    except Exception as error:
        if debugging():
            traceback.print_exception(error)
        message, status = _line_and_status(error)
        if status == INTERNAL_STATUS and _interrupted(error):
            raise KeyboardInterrupt from error
        print(f"opendactyl: {' '.join(message.split())}", file=sys.stderr)
        sys.exit(status)


def _interrupted(error: BaseException) -> bool:
    """Whether the error was raised while a `KeyboardInterrupt` was handled."""
    context = error.__context__
    return context is not None and (isinstance(context, KeyboardInterrupt) or _interrupted(context))


def _line_and_status(error: Exception) -> tuple[str, int]:
    if isinstance(error, OpenDactylError):
        return str(error), error.status
    if isinstance(error, MemoryError):
        return "out of memory; use fewer workers or smaller batches", ENVIRONMENT_STATUS
    if isinstance(error, OSError) and error.errno in _SYSTEM_ERRNOS:
        return f"the system reported: {error}", ENVIRONMENT_STATUS
    if isinstance(error, OSError) and error.errno == errno.EROFS:
        return f"the system reported: {error}; name a folder that is writable", INPUT_STATUS
    kind, text = type(error).__name__, str(error)
    shown = f"{kind}: {text}" if text else kind
    return (
        f"internal error ({shown}); this is a fault of OpenDactyl, please report it with the "
        f"traceback that --debug or {DEBUG_VARIABLE}=1 prints",
        INTERNAL_STATUS,
    )
