"""Temporal dropout of demonstrations."""

import numpy as np

from opendactyl.geometry.rotation import random_quat
from opendactyl.policy.interface.keyframes import keyframes


def test_keyframes_keep_one_of_twenty_frames_and_both_ends():
    rng = np.random.default_rng(0)
    track = random_quat(rng, (201,))
    found = keyframes(track, rng)
    valid = found[:, -1] == 1
    assert 11 <= valid.sum() <= 12
    last = found[valid][-1, :9].reshape(3, 3)
    w, x, y, z = track[-1]
    np.testing.assert_allclose(last[2], [2 * (x * z - w * y), 2 * (y * z + w * x),
                                         1 - 2 * (x * x + y * y)], atol=1e-12)  # fmt: skip
    assert (keyframes(track, rng) != found).any()
