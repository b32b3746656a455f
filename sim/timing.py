"""Times of simulation and control, which are the same for every hand."""

TIMESTEP = 0.008
"""Physics step in seconds (D18 C.1)."""
SUBSTEPS = 10
"""Physics steps per action (D18 C.1)."""
CONTROL_PERIOD = TIMESTEP * SUBSTEPS
"""Period of the actions in seconds: 80 ms (D18 B.4)."""
