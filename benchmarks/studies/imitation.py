"""How often a program that no training saw is carried out after one demonstration of it.

    python -P -m opendactyl.benchmarks.studies.imitation --bundle pretrained/reorient

Beside the imitation network act an oracle that is told the program, a replay of the orientations at
which the object rested in the demonstration, and with --last a network that was trained on the last
state of a demonstration alone. All of them have the same demonstrations and the same starts.
Success is the program's own predicate on the true pose.
"""

import sys

import tyro

from opendactyl.core import mujoco_gl
from opendactyl.core.errors import one_line_errors, take_debug_option


def main(argv: list[str]) -> None:
    """Runs the comparison and prints its table."""
    if {"-h", "--help"} & set(argv) or not {"vision", "--pose=vision"} & set(argv):
        mujoco_gl.disable()
    else:
        from opendactyl.render.opengl.backend import choose_backend

        choose_backend()  # before anything imports MuJoCo
    from opendactyl.control.imitation.comparison import ComparisonConfig, compare, make_table

    config = tyro.cli(
        ComparisonConfig,
        prog="python -m opendactyl.benchmarks.studies.imitation",
        description=__doc__,
        args=argv,
    )
    print(make_table(compare(config)["agents"]))


if __name__ == "__main__":
    with one_line_errors():
        main(take_debug_option(sys.argv[1:]))
