"""Imitation from one demonstration: programs, tracks, training."""
