"""Builds bundles from training runs, and adds measurements to their manifests."""
