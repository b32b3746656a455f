"""Policy cloning: the student acts, the teacher says what it would have done (D19 section 5)."""

import torch
from tensordict import TensorDict
from torch import nn
from torch.nn import functional

from opendactyl.policy.agent import Agent
from opendactyl.policy.config import PolicyConfig
from opendactyl.policy.ppo import MAX_GRADIENT


class Cloning:
    """Teaches a student with memory what a teacher without knows from privileged sight."""

    def __init__(self, student: Agent, teacher: Agent, config: PolicyConfig) -> None:
        """Takes a teacher that needs no memory of its own."""
        self.student = student
        self.teacher = teacher.eval()
        self.config = config
        self.optimizer = torch.optim.Adam(student.parameters(), lr=config.learning_rate, eps=1e-5)

    def update(self, batch: TensorDict, generator: torch.Generator) -> dict[str, float]:
        """Learns from sequences [B, T] that the student made; returns the mean losses."""
        with torch.no_grad():
            none, _ = self.teacher.actor.initial_state(len(batch))
            wanted, *_ = self.teacher.actor(batch["critic"], batch["start"], none, none)
            value, *_ = self.teacher.critic(batch["critic"], batch["start"], none, none)
            batch["teacher_logp"] = torch.log_softmax(wanted, dim=-1)
            target = self.teacher.critic.scale.inverse(value)
            self.student.critic.scale.update(target)
            batch["target"] = self.student.critic.scale(target)
        self.student.actor.normalizer.update(batch["policy"])
        self.student.critic.normalizer.update(batch["critic"])
        losses: list[tuple[float, float]] = []
        for _ in range(self.config.epochs):
            order = torch.randperm(batch.shape[0], generator=generator)
            losses += [self._minimise(batch[r]) for r in order.chunk(self.config.minibatches)]
        kl, critic = (sum(column) / len(losses) for column in zip(*losses, strict=True))
        return {"kl": kl, "critic": critic}

    def _minimise(self, batch: TensorDict) -> tuple[float, float]:
        student = self.student
        logits, *_ = student.actor(
            batch["policy"], batch["start"], batch["actor_h"][:, 0], batch["actor_c"][:, 0]
        )
        values, *_ = student.critic(
            batch["critic"], batch["start"], batch["critic_h"][:, 0], batch["critic_c"][:, 0]
        )
        logp = torch.log_softmax(logits, dim=-1)
        # KL(teacher || student), summed over actuators, averaged over steps.
        kl = functional.kl_div(logp, batch["teacher_logp"], reduction="none", log_target=True)
        kl = kl.sum(dim=(-1, -2)).mean()
        critic = functional.mse_loss(values, batch["target"])
        self.optimizer.zero_grad(set_to_none=True)
        (kl + critic).backward()
        nn.utils.clip_grad_norm_(student.parameters(), MAX_GRADIENT)
        self.optimizer.step()
        return float(kl.detach()), float(critic.detach())
