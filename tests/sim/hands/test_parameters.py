"""Measured parameters and log columns in the file of a hand."""

import numpy as np
import pytest

from opendactyl.core.errors import InputError
from opendactyl.sim.hands.load import load_hand
from opendactyl.sim.hands.log_columns import LogColumns
from opendactyl.sim.hands.shipped import HANDS
from opendactyl.sim.scene import load_scene

PARAMETERS = """
[parameters]
gain = { A_FFJ2 = 1.4 }
damping = { FFJ2 = 0.2 }
armature = { FFJ2 = 0.002 }
friction_loss = { FFJ2 = 0.0 }
"""
LOG = """
[log]
time = "stamp"
time_unit = "ms"
angle_unit = "deg"
joint = "pos/{}"
names = { FFJ2 = "ff2" }
"""


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "mine.toml"
        shipped = HANDS["shadow"].path.read_text()
        path.write_text(shipped.replace('name = "shadow"', 'name = "mine"') + text)
        return path

    return write


def test_measured_parameters_replace_those_of_the_model(write, recwarn):
    measured, nominal = load_scene(hand=str(write(PARAMETERS))), load_scene()
    assert not recwarn.list
    joint = nominal.hand.joints.index("FFJ2")
    actuator = nominal.hand.actuators.index("A_FFJ2")
    ours, theirs, dof = measured.model, nominal.model, measured.joint_dof
    assert ours.actuator_gainprm[actuator, 0] == -ours.actuator_biasprm[actuator, 1] == 1.4
    assert ours.dof_damping[dof[joint]] == 0.2 and ours.dof_armature[dof[joint]] == 0.002
    assert ours.dof_frictionloss[dof[joint]] == 0
    others = np.delete(np.arange(24), joint)
    for name in ("dof_damping", "dof_armature", "dof_frictionloss"):
        np.testing.assert_array_equal(
            getattr(ours, name)[dof[others]], getattr(theirs, name)[nominal.joint_dof[others]]
        )


def test_columns_of_logs_are_named_by_the_file(write):
    columns = load_hand(write(LOG)).log
    assert (columns.time, columns.time_unit, columns.angle_unit) == ("stamp", "ms", "deg")
    assert columns.column("joint", "FFJ2") == "pos/ff2"
    assert columns.column("joint", "FFJ1") == "pos/FFJ1"
    assert columns.column("target", "A_FFJ2") == "target_A_FFJ2"
    assert HANDS["shadow"].log == LogColumns()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[parameters]\ngain = { A_TAIL = 1.0 }", "unknown key 'A_TAIL'"),
        ("[parameters]\ngain = { A_FFJ2 = 0 }", "a positive number"),
        ("[parameters]\ndamping = { FFJ2 = -1 }", "a positive number"),
        ("[parameters]\ndamping = 3", "a table of names and numbers"),
        ("[parameters]\nstiffness = {}", "unknown key 'stiffness'"),
        ('[log]\ntime_unit = "h"', "one of s, ms, us, ns"),
        ('[log]\njoint = "pos"', "with {} where the name"),
        ('[log]\nnames = { TAIL = "t" }', "unknown key 'TAIL'"),
        ("[log]\nnames = 3", "a table of names"),
    ],
)
def test_wrong_tables_are_refused(write, text, message):
    with pytest.raises(InputError, match=message):
        load_hand(write(text))
