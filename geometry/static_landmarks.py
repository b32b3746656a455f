"""Landmarks that no joint moves; their image points measure the jitter of a camera."""

import numpy as np

STATIC_LANDMARKS = np.array(
    [
        [-0.113, 0.0, -0.028],
        [-0.125, 0.0, -0.012],
        [-0.125, 0.028, -0.04],
        [-0.125, -0.028, -0.04],
        [-0.15, 0.058, -0.04],
        [-0.15, -0.058, -0.04],
        [-0.15, 0.041, 0.001],
        [-0.15, -0.041, 0.001],
        [-0.15, 0.0, 0.018],
        [-0.15, 0.0, -0.098],
    ]
)
"""Points (10, 3) on the forearm, fixed in the hand frame, in metres.

Trained weights depend on their order.
"""
