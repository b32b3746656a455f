"""`opendactyl VERB`: imports the verb's module, runs it and sets the exit status.

Exit statuses: 0, those of `opendactyl.core.errors` (1, 2 and 3), and 130 after Ctrl-C or
SIGTERM (of `train-vision`, which stops after the batch, that of Lightning).
"""

import importlib
import os
import sys
from contextlib import nullcontext
from importlib.metadata import version

from opendactyl.cli.verb_list import CHOOSES_GL, RESUMABLE, VERBS
from opendactyl.core import mujoco_gl
from opendactyl.core.errors import DEBUG_VARIABLE, InputError, one_line_errors, take_debug_option
from opendactyl.core.signals import sigterm_interrupts


def main(argv: list[str] | None = None) -> None:
    """The command line; exits the process."""
    words = take_debug_option(sys.argv[1:] if argv is None else argv) or ["--help"]
    verb, *options = words
    # Lightning handles SIGTERM in its own way, between two batches.
    interrupts = nullcontext() if verb == "train-vision" else sigterm_interrupts()
    try:
        with one_line_errors(), interrupts:
            try:
                status = _run(verb, _with_shipped(options))
            finally:
                sys.stdout.flush()
        sys.exit(status)
    except BrokenPipeError:
        # The reader, such as `head`, has closed the pipe; the flush at exit must not fail too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        further = "; continue with --resume" if verb in RESUMABLE else ""
        print(f"interrupted{further}", file=sys.stderr)
        sys.exit(130)


def _with_shipped(options: list[str]) -> list[str]:
    """Options in which the names of bundles and weights that ship are paths."""
    if not any("pretrained/" in word for word in options):
        return options
    from opendactyl.cli.bundles import find_shipped

    return [find_shipped(word) for word in options]


def _run(verb: str, options: list[str]) -> int:
    """Imports a verb and runs it; returns its exit status."""
    if verb in ("-h", "--help", "help"):
        print(_help())
        return 0
    if verb == "--version":
        print(version("opendactyl"))
        return 0
    if verb not in VERBS:
        raise InputError(f"no verb {verb!r}; the verbs are {', '.join(VERBS)}")
    # albumentations looks up its newest version on the net unless this is set.
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    # Idle threads of torch that spin would take cores from the simulation.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    asks_help = bool({"-h", "--help"} & set(options))
    if asks_help or verb not in CHOOSES_GL:
        mujoco_gl.disable(check=not asks_help)
    try:
        module = importlib.import_module(f"opendactyl.cli.verbs.{verb.replace('-', '_')}")
        return module.main(options) or 0
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("opendactyl"):
            raise
        raise InputError(
            f"{verb} needs {error.name}, which is not installed; `make setup` installs everything, "
            'and so does pip install "opendactyl[sim,train,cluster,bench]"'
        ) from error


def _help() -> str:
    width = max(map(len, VERBS)) + 2
    lines = [f"  {verb:<{width}}{what}" for verb, what in VERBS.items()]
    return "\n".join(
        [
            "usage: opendactyl [--debug] VERB [options]",
            "",
            *lines,
            "",
            "`opendactyl VERB --help` lists a verb's options. --debug, or the environment variable",
            f"{DEBUG_VARIABLE}=1, prints the traceback of an error.",
            "",
            "exit status: 0 success, 2 wrong input, 3 failure of the environment (disk, driver,",
            "worker, cluster, a diverged training), 1 internal error, 130 interrupted",
        ]
    )


if __name__ == "__main__":
    main()
