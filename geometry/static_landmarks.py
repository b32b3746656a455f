"""Points that no joint moves: where they are seen tells how a camera stands."""

import numpy as np

ANCHORS = np.array(
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
"""Points (10, 3) on the hand's forearm, which is fixed to the mount: they never move in the hand
frame, so where they are seen tells how a camera has moved. In metres; the order is part of trained
weights.
"""
