"""Names and orders of the hand, and the constants of its control; the orders are API.

The Shadow hand of gymnasium-robotics prefixes its names with `robot0:`; here they are bare.
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
"""The 24 joints, wrist first, each finger from its base to its tip."""

ACTUATORS = tuple(name for name in JOINTS if name not in ("FFJ0", "MFJ0", "RFJ0", "LFJ0"))
"""The 20 actuators, named after the joint they move; the last finger joints are passive."""

FINGERTIPS = ("S_fftip", "S_mftip", "S_rftip", "S_lftip", "S_thtip")
"""The five fingertip sites: first, middle, ring, little finger, thumb."""

OBJECT_BODY = "object"
OBJECT_JOINT = "object:joint"

TIMESTEP = 0.008
"""Physics step in seconds (D18 C.1)."""
SUBSTEPS = 10
"""Physics steps in one action (D18 C.1)."""
CONTROL_PERIOD = TIMESTEP * SUBSTEPS
"""Seconds between two actions: 80 ms (D18 B.4)."""
DROP_HEIGHT = -0.13
"""The object counts as dropped when its centre is lower than this, in metres in the hand frame.

It is 0.04 m above the world's floor, as in robogym's `StopOnFallWrapper`, and about 0.1 m below
the palm.
"""
