"""Pose networks: towers, heads, refinement, and the networks by name."""
