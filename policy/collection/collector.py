"""Collects experience: an agent acts in the environment; the steps are returned as sequences."""

from dataclasses import dataclass, field

import numpy as np
import torch
from tensordict import TensorDict
from torch import Tensor

from opendactyl.policy.collection.agent import Agent, Memory
from opendactyl.policy.env.env import HandEnv
from opendactyl.policy.env.episode_types import FULL_DIFFICULTY, Difficulty, Score
from opendactyl.policy.env.reward import DIVERGED, DROPPED, FINISHED, RUNNING, TIMED_OUT


@dataclass
class Episodes:
    """Goals and outcomes of the episodes that ended during a roll-out."""

    goals: list[int] = field(default_factory=list)
    dropped: int = 0
    timed_out: int = 0
    finished: int = 0
    diverged: int = 0
    scores: list[Score] = field(default_factory=list)
    """Of the episodes at bounds of automatic domain randomization."""

    def merge(self, other: "Episodes") -> None:
        """Adds the counts of another roll-out."""
        self.goals += other.goals
        self.dropped += other.dropped
        self.timed_out += other.timed_out
        self.finished += other.finished
        self.diverged += other.diverged
        self.scores += other.scores

    def add(self, goals: np.ndarray, outcome: np.ndarray) -> None:
        """Counts the episodes that ended in a step."""
        self.goals += goals[outcome != RUNNING].tolist()
        self.dropped += int(np.sum(outcome == DROPPED))
        self.timed_out += int(np.sum(outcome == TIMED_OUT))
        self.finished += int(np.sum(outcome == FINISHED))
        self.diverged += int(np.sum(outcome == DIVERGED))


class Collector:
    """Steps an environment with an agent; episodes continue from one batch to the next."""

    def __init__(self, env: HandEnv, agent: Agent, seed: int) -> None:
        """Starts new episodes."""
        self.env = env
        self.agent = agent
        self.generator = torch.Generator().manual_seed(seed)
        policy, critic = env.reset()
        self._policy, self._critic = torch.from_numpy(policy), torch.from_numpy(critic)
        self._memory = agent.initial_memory(env.num_envs)

    def collect(
        self, horizon: int, difficulty: Difficulty = FULL_DIFFICULTY
    ) -> tuple[TensorDict, Episodes]:
        """Takes `horizon` actions in each of the B simulations.

        Args:
            horizon: actions per simulation.
            difficulty: limits of new goals and episodes.

        Returns:
            Sequences of batch size [B, horizon] with the agent's memory before the first step in
            `actor_h`, `actor_c`, `critic_h`, `critic_c` (repeated along time), and the episodes
            that ended. `next_value` belongs to the observation before any restart.
        """
        self.env.difficulty = difficulty
        steps: list[dict[str, Tensor]] = []
        episodes = Episodes()
        first = self._memory
        for _ in range(horizon):
            steps.append(self._step(episodes))
        # Value after the last step, where no episode ended.
        last_value, _ = self.agent.value(self._critic, self._memory)
        sequences = {key: torch.stack([s[key] for s in steps], dim=1) for key in steps[0]}
        values = torch.cat([sequences["state_value"][:, 1:], last_value[:, None, None]], dim=1)
        ended = sequences["done"]
        sequences["next_value"] = torch.where(ended, sequences.pop("final_value"), values)
        for name, (h, c) in (("actor", first.actor), ("critic", first.critic)):
            sequences[f"{name}_h"] = h[:, None].expand(-1, horizon, -1)
            sequences[f"{name}_c"] = c[:, None].expand(-1, horizon, -1)
        return TensorDict(sequences, batch_size=[self.env.num_envs, horizon]), episodes

    def close(self) -> None:
        """No-op: there is nothing to free."""

    def _step(self, episodes: Episodes) -> dict[str, Tensor]:
        agent, memory = self.agent, self._memory
        observation = agent.actor_input(self._policy, self._critic)
        bins, logp, value, after = agent.act(observation, self._critic, memory, self.generator)
        strength = torch.from_numpy(self.env.strength.astype(np.float32))
        result = self.env.step(bins.numpy())
        episodes.add(result.goals, result.outcome)
        episodes.scores += result.scores
        done = torch.from_numpy(result.terminated | result.truncated)
        final_value = torch.zeros_like(value)
        if result.truncated.any():
            final_value, _ = agent.value(torch.from_numpy(result.final_critic), after)
        record = {
            "policy": self._policy,
            "critic": self._critic,
            "start": memory.start[:, 0],
            "action": bins,
            "action_log_prob": logp,
            "state_value": value[:, None],
            "final_value": final_value[:, None],
            "reward": torch.from_numpy(result.reward)[:, None],
            "done": done[:, None],
            "terminated": torch.from_numpy(result.terminated)[:, None],
            "reached": torch.from_numpy(result.reached)[:, None],
            "failed": done[:, None] & torch.from_numpy(result.outcome != FINISHED)[:, None],
            "strength": strength[:, None],
        }
        self._policy = torch.from_numpy(result.policy)
        self._critic = torch.from_numpy(result.critic)
        self._memory = Memory(after.actor, after.critic, done[:, None].to(torch.float32))
        return record
