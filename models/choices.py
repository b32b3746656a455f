"""Names of networks and devices: the settings know them without importing torch."""

POSE_NETWORKS = ("landmark", "keypoint", "dactyl", "resnet18", "resnet50")
"""Values of `--model`; the first is the default."""
HEADS = {"9d": 9, "6d": 6, "quaternion": 4}
"""Representations of a rotation, with the number of their components."""
DRIVERS = ("recurrent", "msat")
"""Kinds of policies; the first is the default."""
MEMORIES = ("lstm", "none", "frames")
"""Kinds of memory of a policy."""
FRAMES = 4
"""Observations that a policy with memory `frames` and the planners of action chunks see."""
ACCELERATORS = ("auto", "cpu", "gpu")
PRECISIONS = ("auto", "32-true", "bf16-mixed")
"""auto is bf16-mixed where that is faster."""
