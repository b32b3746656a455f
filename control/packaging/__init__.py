"""Builds bundles from training runs, and records what was measured of them."""
