"""Pose networks: building blocks, heads, geometric refinement, and a registry by name."""
