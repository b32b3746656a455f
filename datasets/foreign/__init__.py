"""Samples of other software: BOP datasets, and pictures of known poses."""
