"""`opendactyl VERB`: finds the verb, imports what it needs, turns bad input into one line."""

import importlib
import os
import sys
from importlib.metadata import version

from opendactyl.cli.verb_list import RESUMABLE, VERBS
from opendactyl.core.errors import InputError, fail, one_line_errors


def main(argv: list[str] | None = None) -> None:
    """The command line; exits with 0, with 2 for bad input, or with what a verb asks for."""
    arguments = sys.argv[1:] if argv is None else argv
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_help())
        sys.exit(0)
    if arguments[0] == "--version":
        print(version("opendactyl"))
        sys.exit(0)
    verb = arguments[0]
    if verb not in VERBS:
        fail(f"no verb {verb!r}; the verbs are {', '.join(VERBS)}")
    try:
        with one_line_errors():
            status = _run(verb, arguments[1:])
            sys.stdout.flush()
            sys.exit(status)
    except BrokenPipeError:
        # Whoever reads the output has seen enough; flushing the rest at the end must not fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        further = "; --resume goes on from here" if verb in RESUMABLE else ""
        print(f"interrupted{further}", file=sys.stderr)
        sys.exit(130)


def _run(verb: str, argv: list[str]) -> int:
    """Imports a verb and runs it; its exit status."""
    # albumentations looks up its newest version on the net unless this is set.
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    # Threads of torch that wait by spinning take the cores from those that simulate.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        module = importlib.import_module(f"opendactyl.cli.verbs.{verb.replace('-', '_')}")
        return module.main(argv) or 0
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
            "usage: opendactyl VERB [options]",
            "",
            *lines,
            "",
            "`opendactyl VERB --help` has its options.",
        ]
    )


if __name__ == "__main__":
    main()
