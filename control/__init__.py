"""Bundles, pose sources, the closed loop, its evaluation and its videos."""
