"""An agent: actor, critic and their hidden states while acting in a batch of simulations."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from opendactyl.geometry.rotation import Array
from opendactyl.models.policy.actor_critic import Actor, Critic
from opendactyl.models.precision import use_bf16
from opendactyl.policy.env.critic_observation import critic_size
from opendactyl.policy.interface.actions import decide
from opendactyl.sim.hands.shipped import hand_spec
from opendactyl.sim.hands.spec import DEFAULT_HAND


@dataclass
class Memory:
    """The hidden states (B, H) of actor and critic, and which episodes have just begun."""

    actor: tuple[Tensor, Tensor]
    critic: tuple[Tensor, Tensor]
    start: Tensor
    """1 where the next observation is the first of an episode (B, 1)."""


class Agent(nn.Module):
    """Actor and critic. A privileged actor, a teacher's, gets the critic's observation."""

    def __init__(
        self,
        observation_size: int,
        *,
        hand: str = DEFAULT_HAND,
        hidden: int,
        memory: str,
        critic_memory: str = "none",
        privileged: bool,
        precision: str = "32-true",
        hinges: int = 0,
    ) -> None:
        """Builds both networks.

        Args:
            observation_size: length of the policy's observation.
            hand: the hand, which determines the critic's observation and the actions.
            hidden: units per layer.
            memory: of the actor: `lstm` or `none`.
            critic_memory: of the critic, which observes nearly all of the physics.
            privileged: the actor gets the critic's observation instead of the policy's.
            precision: one of `models.choices.PRECISIONS`.
            hinges: number of the object's hinges, which the critic observes.
        """
        super().__init__()
        self.privileged = privileged
        description = hand_spec(hand)
        actuators, observed = len(description.actuators), critic_size(description, hinges)
        inputs = observed if privileged else observation_size
        self.actor = Actor(inputs, actuators=actuators, hidden=hidden, memory=memory)
        self.critic = Critic(observed, hidden=hidden, memory=critic_memory)
        self.actor.bf16 = self.critic.bf16 = use_bf16(precision)

    def initial_memory(self, batch: int) -> Memory:
        """The memory at the start of a batch of episodes."""
        start = self.actor.head.weight.new_ones(batch, 1)
        return Memory(self.actor.initial_state(batch), self.critic.initial_state(batch), start)

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.actor.head.weight.device

    @property
    def observation(self) -> str:
        """The actor's observation in a batch of sequences: `critic` or `policy`."""
        return "critic" if self.privileged else "policy"

    def actor_input(self, policy: Tensor, critic: Tensor) -> Tensor:
        """The actor's observation: the critic's for a privileged actor, else the policy's."""
        return critic if self.privileged else policy

    @torch.no_grad()
    def act(
        self, observation: Tensor, critic: Tensor, memory: Memory, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor, Memory]:
        """One step: sampled bins (B, A), log-probability (B,), values (B,), and the new memory.

        Args:
            observation: the actor's observation (B, n).
            critic: the critic's observation (B, m).
            memory: the memory before this step.
            generator: source of the sampled actions.
        """
        logits, *actor = self.actor(observation[:, None], memory.start, *memory.actor)
        logp = torch.log_softmax(logits[:, 0], dim=-1)
        flat = logp.exp().flatten(0, 1)
        bins = torch.multinomial(flat, 1, generator=generator).view(logp.shape[:-1])
        chosen = logp.gather(-1, bins[..., None])[..., 0].sum(dim=-1)
        value, critic_state = self.value(critic, memory)
        start = torch.zeros_like(memory.start)
        return bins, chosen, value, Memory((actor[0], actor[1]), critic_state, start)

    @torch.no_grad()
    def decide(self, observation: Tensor, memory: Memory) -> tuple[Array, Memory]:
        """One step without exploration: bins (B, A), see `interface.actions.decide`.

        Args:
            observation: the actor's observation (B, n).
            memory: the memory before this step; the critic's is not changed.
        """
        logits, *actor = self.actor(observation[:, None], memory.start, *memory.actor)
        after = Memory((actor[0], actor[1]), memory.critic, torch.zeros_like(memory.start))
        return decide(logits[:, 0].float().numpy()), after

    @torch.no_grad()
    def value(self, critic: Tensor, memory: Memory) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Values (B,) in units of reward, and the critic's memory after them."""
        value, h, c = self.critic(critic[:, None], memory.start, *memory.critic)
        return self.critic.scale.inverse(value[:, 0])[:, 0], (h, c)
