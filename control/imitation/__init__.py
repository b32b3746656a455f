"""Imitation in the loop: demonstrations, measurement, baselines."""
