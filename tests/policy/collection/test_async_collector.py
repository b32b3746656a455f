"""Collecting a batch while the last one is learned from."""

import copy

import pytest
import torch

from opendactyl.core.errors import InputError
from opendactyl.policy.collection.agent import Agent
from opendactyl.policy.collection.async_collector import AsyncCollector
from opendactyl.policy.collection.collector import Collector
from opendactyl.policy.env.env import HandEnv
from opendactyl.policy.training.ppo import sequence_modules


def test_one_batch_ahead_acts_as_the_agent_was_an_update_before(tiny):
    env = HandEnv(tiny().environment(), 4, seed=0)
    agent = Agent(50, hidden=16, memory="lstm", privileged=False)
    threads = torch.get_num_threads()
    ahead = AsyncCollector(agent, lambda acting: Collector(env, acting, seed=0), threads=1)
    batches, weights = [], []
    for _ in range(3):
        weights.append(copy.deepcopy(agent))
        batches.append(ahead.collect(3)[0])
        assert torch.get_num_threads() == 1
        with torch.no_grad():
            for parameter in agent.parameters():
                parameter += 0.05 * torch.randn_like(parameter)
    assert isinstance(ahead.stop(), Collector)
    assert torch.get_num_threads() == threads
    # The first two batches were begun by the same weights, the third by those after one update.
    for batch, who in zip(batches, (weights[0], weights[0], weights[1]), strict=True):
        again = sequence_modules(who)[0].get_dist(batch.clone()).log_prob(batch["action"])
        torch.testing.assert_close(again, batch["action_log_prob"], atol=1e-4, rtol=1e-4)


def test_what_goes_wrong_while_collecting_ahead_is_not_swallowed():
    class Broken:
        def collect(self, horizon, max_angle):
            raise InputError("no simulator")

        def close(self):
            pass

    ahead = AsyncCollector(Agent(50, hidden=8, memory="none", privileged=False), lambda _: Broken())
    with pytest.raises(InputError, match="no simulator"):
        ahead.collect(3)
    ahead.stop().close()
