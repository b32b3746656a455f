"""Runs Python programs in forks of a process that has imported slow libraries already.

Requests and answers are JSON objects, one a line, on standard input and output. A program sees
what it would see in a new interpreter, but for the modules named on the command line.
"""

import importlib
import json
import os
import runpy
import signal
import sys
import traceback
from typing import Any


def _run(request: dict[str, Any]) -> None:
    """Becomes the requested program, in a forked process; never returns."""
    for number, name in ((0, os.devnull), (1, request["stdout"]), (2, request["stderr"])):
        os.dup2(os.open(name, os.O_RDWR), number)
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    kind, what, *arguments = request["arguments"]
    sys.argv = [kind if kind == "-c" else what, *arguments]
    status = 0
    try:
        if kind == "-m":
            runpy.run_module(what, run_name="__main__", alter_sys=True)
        else:
            exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def main() -> None:
    """Imports the modules named in the arguments, then runs one program after the other."""
    for name in sys.argv[1:]:
        importlib.import_module(name)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for line in sys.stdin:
        if not (child := os.fork()):
            _run(json.loads(line))
        _, status = os.waitpid(child, 0)
        print(json.dumps({"returncode": os.waitstatus_to_exitcode(status)}), flush=True)


if __name__ == "__main__":
    main()
