"""Names of the hand's elements in a fixed order, and control constants.

The orders are part of the API. Names omit the prefix `robot0:` of gymnasium-robotics.
"""

PREFIX = "robot0:"

JOINTS = (
    "WRJ1", "WRJ0",
    "FFJ3", "FFJ2", "FFJ1", "FFJ0",
    "MFJ3", "MFJ2", "MFJ1", "MFJ0",
    "RFJ3", "RFJ2", "RFJ1", "RFJ0",
    "LFJ4", "LFJ3", "LFJ2", "LFJ1", "LFJ0",
    "THJ4", "THJ3", "THJ2", "THJ1", "THJ0",
)  # fmt: skip
"""The 24 joints: wrist, then each finger from base to tip."""

ACTUATORS = tuple(name for name in JOINTS if name not in ("FFJ0", "MFJ0", "RFJ0", "LFJ0"))
"""The 20 actuators, named after their joints; the distal finger joints are passive."""

FINGERTIPS = ("S_fftip", "S_mftip", "S_rftip", "S_lftip", "S_thtip")
"""The five fingertip sites: first, middle, ring, little finger, thumb."""

OBJECT_BODY = "object"
OBJECT_JOINT = "object:joint"

TIMESTEP = 0.008
"""Physics step in seconds (D18 C.1)."""
SUBSTEPS = 10
"""Physics steps per action (D18 C.1)."""
CONTROL_PERIOD = TIMESTEP * SUBSTEPS
"""Period of the actions in seconds: 80 ms (D18 B.4)."""
DROP_HEIGHT = -0.13
"""Height below which the object's centre counts as dropped, in metres in the hand frame.

0.04 m above the world's floor, as in robogym's `StopOnFallWrapper`, and about 0.1 m below the palm.
"""
OBJECT_POSITIONS = ((-0.03, -0.03, 0.0), (0.05, 0.03, 0.08))
"""Lowest and highest position of the object's centre over the palm, in metres in the hand frame."""
