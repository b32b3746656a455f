"""Actor and critic: normaliser, dense layer, memory, head (D18 Table 10).

Sequences are (B, T, n). The memory is an LSTM, or a feed-forward network of equal size, which
observes one step or the last four.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from opendactyl.models.choices import FRAMES, MEMORIES
from opendactyl.models.policy.normalizer import Normalizer


class LSTM(nn.Module):
    """One LSTM layer whose state is reset at marked steps of a sequence."""

    def __init__(self, size: int) -> None:
        """Builds an LSTM from `size` inputs to `size` outputs."""
        super().__init__()
        self.cell = nn.LSTMCell(size, size)

    def forward(
        self, x: Tensor, start: Tensor, h: Tensor, c: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Runs over a sequence.

        Args:
            x: inputs (B, T, n).
            start: 1 where a new episode begins (B, T).
            h: hidden state before the first step (B, H).
            c: cell state before the first step (B, H).

        Returns:
            Outputs (B, T, H), and h and c after the last step.
        """
        cell = self.cell
        # The input projection of all steps is one product; only the rest is sequential.
        projected = functional.linear(x, cell.weight_ih, cell.bias_ih)
        keep = (1.0 - start).to(x.dtype)
        outputs = []
        # Not projected[:, t]: the gradient of such a slice is a full-size tensor, mostly zeros.
        for at_t, kept in zip(projected.unbind(1), keep[..., None].unbind(1), strict=True):
            gates = at_t + functional.linear(h * kept, cell.weight_hh, cell.bias_hh)
            i, f, g, o = gates.chunk(4, dim=-1)
            c = torch.sigmoid(f) * (c * kept) + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            outputs.append(h)
        return torch.stack(outputs, dim=1), h, c


class FeedForward(nn.Module):
    """A feed-forward network with as many parameters as the LSTM."""

    def __init__(self, size: int) -> None:
        """Builds two layers from `size` to `size` with `4 * size` units between."""
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(size, 4 * size), nn.ReLU(), nn.Linear(4 * size, size))

    def forward(
        self, x: Tensor, start: Tensor, h: Tensor, c: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Maps each step of (B, T, n) independently; h and c pass through."""
        return torch.relu(self.layers(x)), h, c


class FrameStack(nn.Module):
    """Joins each step's observation with the earlier ones of its episode, which `h` holds."""

    def __init__(self, inputs: int, hidden: int) -> None:
        """Stacks `FRAMES` observations of `inputs` values; their past fits into `hidden` values."""
        super().__init__()
        self.size = (FRAMES - 1) * inputs
        if self.size > hidden:
            raise ValueError(
                f"memory 'frames' needs at least {self.size} hidden units, not {hidden}"
            )

    def forward(self, x: Tensor, start: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Stacks (B, T, FRAMES * n), zero before an episode began, and the next h (B, H).

        Args:
            x: observations (B, T, n).
            start: 1 where a new episode begins (B, T).
            h: the observations before the first step, padded to (B, H).
        """
        past, steps = FRAMES - 1, x.shape[1]
        before = h[:, : self.size].unflatten(1, (past, -1)).to(x.dtype)
        frames = torch.cat([before, x], dim=1)
        episode = torch.cat([torch.zeros_like(start[:, :1]).expand(-1, past), start], dim=1)
        episode = episode.cumsum(dim=1)[..., None]
        stacked = [
            frames[:, k : k + steps] * (episode[:, k : k + steps] == episode[:, past:])
            for k in range(FRAMES)
        ]
        last = frames[:, -past:] * (episode[:, -past:] == episode[:, -1:])
        return torch.cat(stacked, dim=-1), functional.pad(
            last.flatten(1), (0, h.shape[1] - self.size)
        )


class RecurrentNet(nn.Module):
    """Normaliser, dense ReLU layer, memory, linear head."""

    def __init__(
        self, inputs: int, outputs: int, *, hidden: int = 256, memory: str = "lstm"
    ) -> None:
        """Builds a network with `hidden` units; `memory` is one of `MEMORIES`."""
        super().__init__()
        if memory not in MEMORIES:
            raise ValueError(f"memory {memory!r} must be one of {MEMORIES}")
        self.inputs, self.hidden = inputs, hidden
        self.bf16 = False
        """Whether matrix products are in bf16; weights and memory stay in 32 bits."""
        self.normalizer = Normalizer(inputs)
        self.stack = FrameStack(inputs, hidden) if memory == "frames" else None
        self.dense = nn.Linear(inputs * (FRAMES if self.stack else 1), hidden)
        self.memory = LSTM(hidden) if memory == "lstm" else FeedForward(hidden)
        self.head = nn.Linear(hidden, outputs)

    def forward(
        self, x: Tensor, start: Tensor, h: Tensor, c: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Outputs (B, T, outputs) of a sequence (B, T, inputs), and h and c after it (B, H)."""
        x = self.normalizer(x)
        if self.stack is not None:
            x, h = self.stack(x, start, h)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.bf16):
            x, h, c = self.memory(torch.relu(self.dense(x)), start, h, c)
        # The head in 32 bits: near 1, the spacing of bf16 is a hundredth.
        return self.head(x.float()), h.float(), c.float()

    def initial_state(self, batch: int) -> tuple[Tensor, Tensor]:
        """Zero h and c (B, H), on the network's device."""
        zeros = self.head.weight.new_zeros(batch, self.hidden)
        return zeros, zeros.clone()


class Actor(RecurrentNet):
    """Observations to logits of independent categorical distributions, one per actuator."""

    def __init__(
        self,
        inputs: int,
        *,
        actuators: int = 20,
        bins: int = 11,
        hidden: int = 256,
        memory: str = "lstm",
    ) -> None:
        """Builds an actor for `actuators` coordinates of `bins` bins each."""
        super().__init__(inputs, actuators * bins, hidden=hidden, memory=memory)
        self.shape = (actuators, bins)
        with torch.no_grad():
            self.head.weight *= 0.01
            self.head.bias.zero_()

    def forward(
        self, x: Tensor, start: Tensor, h: Tensor, c: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Logits (B, T, 20, 11), and h and c after the sequence (B, H)."""
        logits, h, c = super().forward(x, start, h, c)
        return logits.unflatten(-1, self.shape), h, c


class Critic(RecurrentNet):
    """Privileged observations to a value on a normalised scale."""

    def __init__(self, inputs: int, *, hidden: int = 256, memory: str = "lstm") -> None:
        """Builds a critic with its own memory."""
        super().__init__(inputs, 1, hidden=hidden, memory=memory)
        self.scale = Normalizer(1, clip=1e6)


class ExportedActor(nn.Module):
    """One step of an actor with explicit memory, for a bundle's `policy.onnx`."""

    def __init__(self, actor: Actor) -> None:
        """Wraps a trained actor."""
        super().__init__()
        self.actor = actor

    def forward(self, observation: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits (B, 20, 11), h and c (B, H) from an observation (B, n), h and c."""
        start = torch.zeros_like(observation[:, :1])
        logits, h, c = self.actor(observation[:, None], start, h, c)
        return logits[:, 0], h, c
