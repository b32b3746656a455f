"""Proximal policy optimisation on sequences, with TorchRL's loss and advantage estimate."""

import torch
from tensordict import TensorDict
from tensordict.nn import (
    ProbabilisticTensorDictModule,
    ProbabilisticTensorDictSequential,
    TensorDictModule,
)
from torch import Tensor, nn
from torch.distributions import Categorical, Independent
from torchrl.objectives import ClipPPOLoss
from torchrl.objectives.value.functional import generalized_advantage_estimate

from opendactyl.policy.collection.agent import Agent
from opendactyl.policy.training.config import PolicyConfig
from opendactyl.policy.training.schedule import Schedule

MAX_GRADIENT = 1.0
"""Largest gradient norm of each network."""
MAX_WEIGHT = 2.0
"""Largest importance weight of an action."""
LARGE_KL = 3.0
"""Multiple of the target KL divergence in an epoch after which the others are left out."""
MAX_KL = 0.5
"""KL divergence of an update above which a training has diverged."""


class Diverged(Exception):
    """A training diverged; the trainer goes back to its last checkpoint."""


def bins_distribution(logits: Tensor) -> Independent:
    """Independent categorical distributions (..., 20) over bins, from logits (..., 20, 11)."""
    return Independent(Categorical(logits=logits, validate_args=False), 1, validate_args=False)


class _SequenceActor(nn.Module):
    """Evaluates the actor on sequences, from the memory stored at their start."""

    def __init__(self, agent: Agent) -> None:
        super().__init__()
        self.network = agent.actor

    def forward(self, observation: Tensor, start: Tensor, h: Tensor, c: Tensor) -> Tensor:
        return self.network(observation, start, h[:, 0], c[:, 0])[0]


class _SequenceCritic(nn.Module):
    """Evaluates the critic on sequences, on its normalised scale."""

    def __init__(self, agent: Agent) -> None:
        super().__init__()
        self.network = agent.critic

    def forward(self, observation: Tensor, start: Tensor, h: Tensor, c: Tensor) -> Tensor:
        return self.network(observation, start, h[:, 0], c[:, 0])[0]


def sequence_modules(agent: Agent) -> tuple[ProbabilisticTensorDictSequential, TensorDictModule]:
    """Wraps actor and critic as modules for TorchRL's losses."""
    actor = ProbabilisticTensorDictSequential(  # pyright: ignore[reportCallIssue]
        TensorDictModule(  # pyright: ignore[reportArgumentType]
            _SequenceActor(agent),
            in_keys=[agent.observation, "start", "actor_h", "actor_c"],
            out_keys=["logits"],
        ),
        ProbabilisticTensorDictModule(  # pyright: ignore[reportArgumentType]
            in_keys=["logits"],
            out_keys=["action"],
            distribution_class=bins_distribution,  # pyright: ignore[reportArgumentType]
            return_log_prob=True,
        ),
    )
    critic = TensorDictModule(
        _SequenceCritic(agent),
        in_keys=["critic", "start", "critic_h", "critic_c"],
        out_keys=["state_value"],
    )
    return actor, critic


def add_advantages(batch: TensorDict, gamma: float, gae_lambda: float) -> None:
    """Adds `advantage` and `value_target` (B, T, 1) to a batch of sequences.

    A drop ends the return. A time-out truncates the sequence and bootstraps from `next_value`,
    which is taken before the restart.
    """
    advantage, target = generalized_advantage_estimate(
        gamma,
        gae_lambda,
        batch["state_value"],
        batch["next_value"],
        batch["reward"],
        batch["done"],
        batch["terminated"],
        time_dim=-2,
    )
    batch["advantage"], batch["value_target"] = advantage, target


def minimise(loss: Tensor, optimizer: torch.optim.Optimizer, agent: Agent) -> None:
    """Takes one optimiser step; the gradients of actor and critic are clipped separately.

    Raises:
        Diverged: a gradient is not finite; the weights are left unchanged.
    """
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    for network in (agent.actor, agent.critic):
        norm = nn.utils.clip_grad_norm_(network.parameters(), MAX_GRADIENT)
        if not torch.isfinite(norm):
            raise Diverged("a gradient is not finite")
    optimizer.step()


def mean_of(losses: list[dict[str, float]]) -> dict[str, float]:
    """The mean of each loss."""
    return {key: sum(loss[key] for loss in losses) / len(losses) for key in losses[0]}


class PPO:
    """The learner of one agent."""

    def __init__(self, agent: Agent, config: PolicyConfig) -> None:
        """Builds TorchRL's clipped loss around the agent."""
        self.agent = agent
        self.config = config
        actor, critic = sequence_modules(agent)
        self._actor = actor
        self.loss = ClipPPOLoss(
            actor,
            critic,
            clip_epsilon=config.clip,
            entropy_coeff=config.entropy,
            critic_coeff=1.0,
            loss_critic_type="l2",
            normalize_advantage=False,  # `update` does, before weighting them.
            functional=False,
        ).to(agent.device)
        self.optimizer = torch.optim.Adam(agent.parameters(), lr=config.learning_rate, eps=1e-5)
        self.schedule = Schedule(config, self.optimizer)
        self.trains_actor = True
        """False while the critic alone is trained, because it is new beside a trained actor."""

    def update(
        self, batch: TensorDict, generator: torch.Generator, progress: float = 0.0
    ) -> dict[str, float]:
        """Trains on sequences [B, T]; returns the mean losses.

        Args:
            batch: from a collector.
            generator: source of the order of the sequences.
            progress: fraction of the run that is done.

        Raises:
            Diverged: a gradient is not finite, or the policy changed too much.
        """
        self.schedule.apply(progress)
        batch = batch.to(self.agent.device)
        add_advantages(batch, self.schedule.gamma(progress), self.config.gae_lambda)
        self._recompute_log_probs(batch)
        critic = self.agent.critic
        critic.scale.update(batch["value_target"])
        batch["value_target"] = critic.scale(batch["value_target"])
        # These are in units of reward, not on the normalised scale of the loss.
        batch = batch.exclude("state_value", "next_value")
        losses: list[dict[str, float]] = []
        for _ in range(self.config.epochs):
            order = torch.randperm(batch.shape[0], generator=generator)
            rows = order.chunk(self.config.minibatches)
            losses += [self._minimise(batch[row]) for row in rows]
            if 0 < self.config.target_kl < mean_of(losses[-len(rows) :])["kl"] / LARGE_KL:
                break
        critic.normalizer.update(batch["critic"])
        means = mean_of(losses)
        if not means["kl"] < MAX_KL:
            raise Diverged(f"the KL divergence of an update is {means['kl']:.2f}")
        if self.trains_actor:
            inputs = batch[self.agent.observation]
            self.agent.actor.normalizer.update(inputs)
            self.schedule.follow(means["kl"])
        return means

    @torch.no_grad()
    def _recompute_log_probs(self, batch: TensorDict) -> None:
        """Recomputes log-probabilities under the current policy, and normalises advantages.

        The batch may come from a policy that is one update behind. Its importance ratio weights
        the advantages and uses up none of PPO's clipping range (decoupled objective, arXiv
        2110.00641).
        """
        advantage = batch["advantage"]
        advantage = (advantage - advantage.mean()) / advantage.std().clamp_min(1e-6)
        current = self._actor.get_dist(batch.clone()).log_prob(batch["action"])
        weight = (current - batch["action_log_prob"]).exp().clamp_max(MAX_WEIGHT)
        batch["advantage"] = advantage * weight[..., None]
        batch["action_log_prob"] = current

    def _minimise(self, batch: TensorDict) -> dict[str, float]:
        loss = self.loss(batch)
        total = loss["loss_critic"]
        if self.trains_actor:
            total = total + loss["loss_objective"] + loss["loss_entropy"]
        minimise(total, self.optimizer, self.agent)
        return {
            "objective": float(loss["loss_objective"].detach()),
            "critic": float(loss["loss_critic"].detach()),
            "entropy": float(loss["entropy"].detach().mean()),
            "kl": float(loss["kl_approx"].detach().mean()),
        }
