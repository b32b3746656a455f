"""How often a program that no training saw is carried out after one demonstration of it.

    python -P -m opendactyl.benchmarks.studies.imitation --bundle pretrained/reorient

Beside the imitation network act an oracle that has the program, a replay of the orientations at
which the object rested in the demonstration, and with --last a network that was trained on the last
state of a demonstration alone. All of them have the same demonstrations and the same starts.
Success is the program's own predicate on the true pose.
"""

import sys

from opendactyl.benchmarks.support.study import prepare_gl, run_study

if __name__ == "__main__":
    prepare_gl(renders=bool({"vision", "--pose=vision"} & set(sys.argv)))
    from opendactyl.benchmarks.support.imitation_comparison import (
        ComparisonConfig,
        compare,
        make_table,
    )

    run_study(
        "imitation", __doc__, ComparisonConfig, lambda config: make_table(compare(config)["agents"])
    )
