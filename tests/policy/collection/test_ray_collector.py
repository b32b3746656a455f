"""Collection on a real Ray cluster, and the death of a node."""

import threading
import time

import numpy as np
import pytest
import torch

from opendactyl.policy.collection.agent import Agent
from opendactyl.policy.collection.ray_collector import RayCollector
from opendactyl.policy.training.checkpoints import load_checkpoint
from opendactyl.policy.training.train import train


@pytest.fixture
def cluster(monkeypatch):
    """A real Ray cluster of two nodes: a head with one CPU and another with two."""
    ray = pytest.importorskip("ray")
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    # By default workers run at a lower priority and may starve on a busy machine.
    monkeypatch.setenv("RAY_worker_niceness", "0")
    store = {"object_store_memory": 100 * 2**20}
    cluster = cluster_utils.Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False, **store}
    )
    node = cluster.add_node(num_cpus=2, **store)
    yield cluster, node, lambda: cluster.add_node(num_cpus=2, **store)
    ray.shutdown()
    cluster.shutdown()


def when_complete(collector, seconds=300):
    """A batch of all three actors, once they are live."""
    deadline = time.monotonic() + seconds
    while True:
        batch, _ = collector.collect(4)
        if collector.live == 3 or time.monotonic() > deadline:
            return batch
        time.sleep(0.5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_batch_is_smaller_until_a_killed_node_is_replaced(cluster, tiny):
    cluster, node, add_node = cluster
    config = tiny(ray=cluster.address, ray_workers=3, num_envs=6)
    torch.manual_seed(0)
    agent = Agent(50, hidden=16, memory="lstm", privileged=False)
    collector = RayCollector(
        config.ray,
        config.environment(),
        agent,
        num_envs=config.num_envs,
        workers=config.ray_workers,
    )
    batch = when_complete(collector)
    assert batch.shape == (6, 4)
    assert len(np.unique(batch["policy"][:, 0].numpy(), axis=0)) == 6
    cluster.remove_node(node, allow_graceful=False)
    batch, _ = collector.collect(4)
    assert batch.shape == (2, 4)
    assert collector.live == 1
    assert torch.isfinite(batch["next_value"]).all()
    collector.use(Agent(50, hidden=16, memory="lstm", privileged=False))
    add_node()
    batch = when_complete(collector)
    assert batch.shape == (6, 4)
    collector.close()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_run_survives_the_death_of_a_node(cluster, tiny, stages):
    cluster, node, _ = cluster
    config = tiny(ray=cluster.address, ray_workers=3, max_actions=800)

    def kill_when_it_runs():
        while not (config.out / "metrics.csv").exists():
            if stop.wait(0.05):
                return
        cluster.remove_node(node, allow_graceful=False)

    stop, killer = threading.Event(), threading.Thread(target=kill_when_it_runs)
    killer.start()
    try:
        train(config)
    finally:
        stop.set()
        killer.join()
    assert set(stages(config.out)) == {"teacher", "clone", "ppo"}
    assert load_checkpoint(config.out / "checkpoints/last.ckpt")["actions"] >= 800
