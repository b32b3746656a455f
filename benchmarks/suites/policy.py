"""Suite `policy`: PPO with an LSTM, from simulation to update, against RecurrentPPO."""

import torch

from opendactyl.benchmarks.measure import Budget, Row, side_by_side
from opendactyl.benchmarks.peers.recurrent_ppo import RecurrentPeer
from opendactyl.core.cpu import cores
from opendactyl.policy.collection.agent import Agent
from opendactyl.policy.collection.async_collector import AsyncCollector
from opendactyl.policy.collection.collector import Collector
from opendactyl.policy.env.env import HandEnv
from opendactyl.policy.training.config import PolicyConfig
from opendactyl.policy.training.ppo import PPO

PORTION = 16
"""Iterations of ours between two time measurements."""


def run(budget: Budget) -> list[Row]:
    """Measures actions a second, with simulation, inference and optimisation."""
    config = PolicyConfig()
    rows = [_against_sb3(config, budget.seconds, "policy/recurrent_ppo")]
    if budget.full:
        for count in (128, 256, 1024):
            other = PolicyConfig(num_envs=count)
            rows.append(_against_sb3(other, budget.seconds, f"policy/num_envs_{count}"))
    return rows


class OurPPO:
    """The recurrent stage of `train-policy`, `PORTION` iterations at a time.

    Unlike in a training, the first batch of each portion is collected without an update beside it,
    and none is being collected at its end, so that the peer has all cores.
    """

    def __init__(self, config: PolicyConfig) -> None:
        """Builds the environment and the LSTM agent."""
        torch.manual_seed(config.seed)
        self._config = config
        env = make_env(config)
        agent = Agent(
            env.observation_size,
            hidden=config.hidden,
            memory=config.memory,
            critic_memory=config.memory,  # like the peer's
            privileged=False,
            precision=config.precision,
        )
        self._collector = AsyncCollector(
            agent,
            lambda acting: Collector(env, acting, config.seed),
            max(cores() // 2, 1),
        )
        self._learner = PPO(agent, config)
        self.parameters = sum(p.numel() for p in agent.parameters())
        self._generator = torch.Generator().manual_seed(config.seed)

    def iterations(self) -> float:
        """Collects batches and updates the agent; returns the number of actions."""
        actions = 0
        threads = torch.get_num_threads()
        for remaining in reversed(range(PORTION)):
            batch, _ = self._collector.collect(self._config.horizon, more=remaining > 0)
            self._learner.update(batch, self._generator)
            actions += batch.numel()
        torch.set_num_threads(threads)
        return actions


def make_env(config: PolicyConfig) -> HandEnv:
    """The environment of both sides."""
    return HandEnv(config.environment(), config.num_envs, seed=config.seed)


def _against_sb3(config: PolicyConfig, seconds: float, name: str) -> Row:
    ours, peer = OurPPO(config), RecurrentPeer(make_env(config), config)
    ours_speed, peer_speed = side_by_side(ours.iterations, peer.iteration, seconds)
    return Row(
        name=name, ours=ours_speed, peer=peer_speed, unit="actions/s",
        peer_name="sb3-contrib RecurrentPPO, same environment, network, epochs and minibatches",
        extra={
            "simulations": config.num_envs,
            "horizon": config.horizon,
            "epochs": config.epochs,
            "minibatches": config.minibatches,
            "hidden": config.hidden,
            "cores": cores(),
            "parameters": ours.parameters,
            "parameters_peer": peer.parameters,
        },
    )  # fmt: skip
