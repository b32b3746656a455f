"""Actor, critic and normaliser."""

import pytest
import torch
from torch import nn

from opendactyl.models.choices import MEMORIES
from opendactyl.models.policy.actor_critic import LSTM, Actor, Critic
from opendactyl.models.policy.normalizer import Normalizer


def test_the_lstm_equals_torch():
    torch.manual_seed(0)
    lstm = LSTM(8)
    reference = nn.LSTM(8, 8, batch_first=True)
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        getattr(reference, name + "_l0").data.copy_(getattr(lstm.cell, name))
    x, h, c = torch.randn(3, 7, 8), torch.randn(3, 8), torch.randn(3, 8)
    out, h1, c1 = lstm(x, torch.zeros(3, 7), h, c)
    expected, (h2, c2) = reference(x, (h[None], c[None]))
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(h1, h2[0])
    torch.testing.assert_close(c1, c2[0])


def test_the_lstm_is_reset_where_an_episode_starts():
    lstm = LSTM(4)
    x, zeros = torch.randn(1, 6, 4), torch.zeros(1, 4)
    start = torch.zeros(1, 6)
    start[0, 3] = 1
    whole, *_ = lstm(x, start, torch.randn(1, 4), torch.randn(1, 4))
    tail, *_ = lstm(x[:, 3:], torch.zeros(1, 3), zeros, zeros)
    torch.testing.assert_close(whole[:, 3:], tail)


@pytest.mark.parametrize("memory", MEMORIES)
def test_step_by_step_equals_the_whole_sequence(memory):
    torch.manual_seed(1)
    actor = Actor(50, hidden=160, memory=memory)
    x, start = torch.randn(2, 5, 50), torch.zeros(2, 5)
    start[1, 3] = 1
    whole, h, _ = actor(x, start, *actor.initial_state(2))
    assert whole.shape == (2, 5, 20, 11)
    state = actor.initial_state(2)
    for t in range(5):
        step, *state = actor(x[:, t : t + 1], start[:, t : t + 1], *state)
        torch.testing.assert_close(step[:, 0], whole[:, t], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(state[0], h, atol=1e-5, rtol=1e-4)


def test_both_memories_have_equally_many_parameters():
    def size(memory):
        return sum(p.numel() for p in Critic(100, hidden=256, memory=memory).memory.parameters())

    assert size("none") == pytest.approx(size("lstm"), rel=0.02)


def test_the_normalizer_has_the_moments_of_all_batches():
    torch.manual_seed(2)
    data = torch.randn(1000, 3) * torch.tensor([1.0, 5.0, 0.1]) + torch.tensor([0.0, 2.0, -3.0])
    normalizer = Normalizer(3)
    for batch in data.split([10, 500, 490]):
        normalizer.update(batch)
    torch.testing.assert_close(normalizer.mean, data.mean(dim=0), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(normalizer.var, data.var(dim=0), atol=1e-2, rtol=1e-2)
    torch.testing.assert_close(normalizer.inverse(normalizer(data)), data, atol=1e-4, rtol=1e-4)
    assert normalizer(data * 1000).abs().max() == 5.0
