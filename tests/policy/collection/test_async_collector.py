"""Collecting a batch while the learner trains on the last one."""

import copy
import threading

import pytest
import torch
from tensordict import TensorDict

from opendactyl.core.errors import EnvironmentFailure
from opendactyl.policy.collection.agent import Agent
from opendactyl.policy.collection.async_collector import AsyncCollector
from opendactyl.policy.collection.collector import Collector, Episodes
from opendactyl.policy.env.env import HandEnv
from opendactyl.policy.training.ppo import sequence_modules


def test_the_acting_copy_is_one_update_behind(tiny):
    env = HandEnv(tiny().environment(), 4, seed=0)
    agent = Agent(50, hidden=16, memory="lstm", privileged=False)
    threads = torch.get_num_threads()
    collector = AsyncCollector(agent, lambda acting: Collector(env, acting, seed=0), threads=1)
    batches, weights = [], []
    for _ in range(3):
        weights.append(copy.deepcopy(agent))
        batches.append(collector.collect(3)[0])
        assert torch.get_num_threads() == 1
        with torch.no_grad():
            for parameter in agent.parameters():
                parameter += 0.05 * torch.randn_like(parameter)
    assert isinstance(collector.stop(), Collector)
    assert torch.get_num_threads() == threads
    # The first two batches start with the same weights, the third with those after one update.
    for batch, actor in zip(batches, (weights[0], weights[0], weights[1]), strict=True):
        again = sequence_modules(actor)[0].get_dist(batch.clone()).log_prob(batch["action"])
        torch.testing.assert_close(again, batch["action_log_prob"], atol=1e-4, rtol=1e-4)


class Failing:
    """A collector that fails from a given batch on."""

    def __init__(self, batches):
        self.batches, self.closed = batches, False
        self.failed = threading.Event()

    def collect(self, horizon, difficulty):
        if not self.batches:
            self.failed.set()
            raise EnvironmentFailure("no simulator")
        self.batches -= 1
        return TensorDict(), Episodes()

    def close(self):
        self.closed = True


def failing(batches):
    agent = Agent(50, hidden=8, memory="none", privileged=False)
    return AsyncCollector(agent, lambda _: Failing(batches))


def test_a_failure_while_collecting_is_raised_once():
    collector = failing(batches=0)
    with pytest.raises(EnvironmentFailure, match="no simulator"):
        collector.collect(3)
    collector.stop().close()


def test_a_failure_of_the_discarded_batch_is_raised_at_a_stage_boundary():
    threads = torch.get_num_threads()
    collector = failing(batches=1)
    collector.collect(3)
    assert collector.collector.failed.wait(10)
    with pytest.raises(EnvironmentFailure, match="no simulator"):
        collector.stop()
    assert torch.get_num_threads() == threads


def test_closing_logs_a_failure_of_the_discarded_batch_and_frees_the_collector(caplog):
    collector = failing(batches=1)
    collector.collect(3)
    assert collector.collector.failed.wait(10)
    collector.close()
    assert collector.collector.closed
    assert "no simulator" in caplog.text
