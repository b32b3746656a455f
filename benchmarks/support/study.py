"""The command line that the studies share."""

import sys
from collections.abc import Callable
from typing import TypeVar

import tyro

from opendactyl.core import mujoco_gl
from opendactyl.core.errors import one_line_errors, take_debug_option

C = TypeVar("C")


def prepare_gl(*, renders: bool) -> None:
    """Chooses MuJoCo's OpenGL backend, or disables OpenGL, before anything imports MuJoCo."""
    asks_help = bool({"-h", "--help"} & set(take_debug_option(sys.argv)))
    with one_line_errors():
        if renders and not asks_help:
            from opendactyl.render.opengl.backend import choose_backend

            choose_backend()
        else:
            mujoco_gl.disable(check=not asks_help)


def run_study(
    name: str,
    description: str | None,
    config_class: type[C],
    run: Callable[[C], str],
) -> None:
    """Runs `python -m opendactyl.benchmarks.studies.NAME` and prints its table.

    Args:
        name: the module.
        description: its docstring, for `--help`.
        config_class: the dataclass of its settings.
        run: the study, which returns a table.
    """
    try:
        with one_line_errors():
            config = tyro.cli(
                config_class,
                prog=f"python -m opendactyl.benchmarks.studies.{name}",
                description=description,
                args=take_debug_option(sys.argv[1:]),
            )
            print(run(config))
    except KeyboardInterrupt:
        further = "; continue with --resume" if hasattr(config_class, "resume") else ""
        print(f"interrupted{further}", file=sys.stderr)
        sys.exit(130)
