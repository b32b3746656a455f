"""The running moments of the normaliser."""

import torch

from opendactyl.models.policy.normalizer import MAX_COUNT, Normalizer


def test_the_moments_follow_new_data_after_many_samples():
    torch.manual_seed(0)
    normalizer = Normalizer(2)
    normalizer.count.fill_(10 * MAX_COUNT)
    steps, size = 100, int(MAX_COUNT) // 100
    for _ in range(steps):
        normalizer.update(3.0 + 2.0 * torch.randn(size, 2))
    # As many new samples as the old ones count for: a weight of 1 - 1/e.
    torch.testing.assert_close(normalizer.mean, torch.full((2,), 3 * 0.632), atol=0.05, rtol=0)
    between = 9 * 0.632 * 0.368
    expected = torch.full((2,), 4 * 0.632 + 1 * 0.368 + between)
    torch.testing.assert_close(normalizer.var, expected, atol=0.1, rtol=0)


def test_loading_and_applying_stored_moments_changes_nothing():
    stored = Normalizer(2).state_dict() | {"count": torch.tensor(10 * MAX_COUNT)}
    normalizer = Normalizer(2)
    normalizer.load_state_dict(stored)
    normalizer(torch.randn(4, 2))
    assert normalizer.count == 10 * MAX_COUNT
