"""Suite `policy`: PPO with an LSTM, from simulation to update, against RecurrentPPO."""

import dataclasses
import functools

import torch

from opendactyl.benchmarks.measure import Budget, Row, side_by_side
from opendactyl.benchmarks.peers.recurrent_ppo import RecurrentPeer, like_ours
from opendactyl.benchmarks.suites.learning_race import Race, minutes_to_goals
from opendactyl.benchmarks.support.untrained import untrained_agent
from opendactyl.core.cpu import cores
from opendactyl.models.precision import use_bf16
from opendactyl.policy.collection.async_collector import AsyncCollector
from opendactyl.policy.collection.collector import Collector
from opendactyl.policy.env.env import HandEnv
from opendactyl.policy.training.config import PolicyConfig
from opendactyl.policy.training.ppo import PPO

PORTION = 16
"""Iterations of ours between two time measurements."""


def run(budget: Budget) -> list[Row]:
    """Measures actions a second, with simulation, inference and optimisation."""
    compared = {"policy/recurrent_ppo": PolicyConfig()}
    if budget.full:
        compared |= {f"policy/num_envs_{n}": PolicyConfig(num_envs=n) for n in (128, 256, 1024)}
    rows = [
        budget.partial.row(name, functools.partial(_against_sb3, config, budget.seconds, name))
        for name, config in compared.items()
    ]
    return [*rows, minutes_to_goals(budget.partial, Race())] if budget.full else rows


class OurPPO:
    """The recurrent stage of `train-policy`, `PORTION` iterations at a time.

    Unlike in a training, the first batch of each portion is collected without an update beside it,
    and none is being collected at its end, so that the peer has all cores.
    """

    def __init__(self, config: PolicyConfig) -> None:
        """Builds the environment and the LSTM agent."""
        torch.manual_seed(config.seed)
        self._config = config
        env = HandEnv(config.environment(), config.num_envs, seed=config.seed)
        agent = untrained_agent(config, config.precision)
        self._collector = AsyncCollector(
            agent,
            lambda acting: Collector(env, acting, config.seed),
            max(cores() // 2, 1),
        )
        self._learner = PPO(agent, config)
        self.parameters = sum(p.numel() for p in agent.parameters())
        self.critic_inputs = agent.critic.dense.in_features
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


def _against_sb3(config: PolicyConfig, seconds: float, name: str) -> Row:
    ours = OurPPO(config)
    settings = dataclasses.replace(like_ours(config), normalize=False)
    peer = RecurrentPeer(config.environment(), settings, config.seed)
    ours_speed, peer_speed = side_by_side(ours.iterations, peer.iteration, seconds)
    return Row(
        name=name, ours=ours_speed, peer=peer_speed, unit="actions/s",
        peer_name="sb3-contrib RecurrentPPO, same environment, epochs and minibatches, an actor "
        "with an LSTM, a feed-forward critic",
        extra={
            "simulations": config.num_envs,
            "precision": "bf16" if use_bf16(config.precision) else "float32",
            "precision_peer": "float32",
            "horizon": config.horizon,
            "epochs": config.epochs,
            "minibatches": config.minibatches,
            "hidden": config.hidden,
            "cores": cores(),
            "parameters": ours.parameters,
            "parameters_peer": peer.parameters,
            "critic_inputs": ours.critic_inputs,
            "critic_inputs_peer": sum(config.environment().observation_fields.values()),
        },
    )  # fmt: skip
