"""Policy cloning: the student acts and imitates the teacher's distribution (D19 section 5)."""

import dataclasses

import torch
from tensordict import TensorDict
from torch.nn import functional

from opendactyl.policy.collection.agent import Agent, Memory
from opendactyl.policy.training.config import PolicyConfig
from opendactyl.policy.training.ppo import add_advantages, minimise
from opendactyl.policy.training.schedule import Schedule


class Distillation:
    """Trains a student to imitate a privileged teacher, or another policy with a memory."""

    def __init__(
        self, student: Agent, teacher: Agent, config: PolicyConfig, values: bool = True
    ) -> None:
        """Builds the optimiser; a recurrent teacher keeps its own memory of the student's steps.

        Args:
            student: the agent that acts and is trained.
            teacher: the agent that is imitated.
            config: the settings.
            values: whether the student's critic imitates the teacher's, or learns the returns.
        """
        self.values = values
        self.student = student
        self.teacher = teacher.eval()
        self.config = config
        self._memory: Memory | None = None
        self.optimizer = torch.optim.Adam(student.parameters(), lr=config.learning_rate, eps=1e-5)
        # The divergence from the teacher says nothing about the step size.
        self.schedule = Schedule(dataclasses.replace(config, target_kl=0.0), self.optimizer)

    def update(
        self, batch: TensorDict, generator: torch.Generator, progress: float = 0.0
    ) -> dict[str, float]:
        """Trains on the student's sequences [B, T]; returns the mean losses.

        Args:
            batch: from a collector with the student.
            generator: source of the order of the sequences.
            progress: fraction of the run that is done; the step size does not depend on it.

        Raises:
            Diverged: a gradient is not finite.
        """
        self.schedule.apply(0.0)
        batch = batch.to(self.student.device)
        self._add_targets(batch)
        self.student.actor.normalizer.update(batch[self.student.observation])
        self.student.critic.normalizer.update(batch["critic"])
        losses: list[tuple[float, float]] = []
        for _ in range(self.config.epochs):
            order = torch.randperm(batch.shape[0], generator=generator)
            losses += [self._minimise(batch[r]) for r in order.chunk(self.config.minibatches)]
        kl, critic = (sum(column) / len(losses) for column in zip(*losses, strict=True))
        return {"kl": kl, "critic": critic}

    @torch.no_grad()
    def _add_targets(self, batch: TensorDict) -> None:
        """Adds the teacher's log-probabilities and values; its memory persists across batches."""
        teacher, critic = self.teacher, self.student.critic
        memory = self._memory
        if memory is None or len(memory.start) != len(batch):  # The size varies on a cluster.
            memory = teacher.initial_memory(len(batch))
        inputs, start = batch[teacher.observation], batch["start"]
        logits, *actor_memory = teacher.actor(inputs, start, *memory.actor)
        batch["teacher_logp"] = torch.log_softmax(logits, dim=-1)
        value, *critic_memory = teacher.critic(batch["critic"], start, *memory.critic)
        if self.values:
            target = teacher.critic.scale.inverse(value)
        else:
            add_advantages(batch, self.config.gamma, self.config.gae_lambda)
            target = batch["value_target"]
        critic.scale.update(target)
        batch["target"] = critic.scale(target)
        self._memory = Memory(tuple(actor_memory), tuple(critic_memory), memory.start)

    def _minimise(self, batch: TensorDict) -> tuple[float, float]:
        student = self.student
        logits, *_ = student.actor(
            batch[student.observation],
            batch["start"],
            batch["actor_h"][:, 0],
            batch["actor_c"][:, 0],
        )
        values, *_ = student.critic(
            batch["critic"], batch["start"], batch["critic_h"][:, 0], batch["critic_c"][:, 0]
        )
        logp = torch.log_softmax(logits, dim=-1)
        # KL(teacher || student), summed over actuators, averaged over steps.
        kl = functional.kl_div(logp, batch["teacher_logp"], reduction="none", log_target=True)
        kl = kl.sum(dim=(-1, -2)).mean()
        critic = functional.mse_loss(values, batch["target"])
        minimise(kl + critic, self.optimizer, student)
        return float(kl.detach()), float(critic.detach())
