"""The imitation network, after One-Shot Imitation Learning (arXiv 1703.07326), for one object.

Keyframes of a demonstration pass pairwise relations and dilated temporal convolutions; the present
pose and the waypoints so far query them by attention; the head gives the next goal. Sequences are
(B, N, C) with a mask as the last channel, queries (B, Q, ...).
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from opendactyl.geometry.torch_ops.rotation import matrix_from_6d, matrix_to_quat

HEADS = 4
DILATIONS, CAUSAL = (1, 2, 4, 8), (False, False, True, True)
"""Of the temporal convolutions. What a keyframe means follows from those before and the next few;
from how a demonstration goes on, a network could learn which programs the training has."""
ACTIONS = 11
"""Classes of the auxiliary outputs: six faces, three yaws, back, the end."""
_FAR = -1e4
"""Score of what is masked."""


class Relations(nn.Module):
    """Attention over a keyframe and those before it, which sees the rotation between them."""

    def __init__(self, width: int, pair: int = 32) -> None:
        """Builds the layer."""
        super().__init__()
        self.one, self.other = nn.Linear(width, pair), nn.Linear(width, pair, bias=False)
        self.rotation, self.apart = nn.Linear(9, pair, bias=False), nn.Linear(2, pair, bias=False)
        self.hidden, self.score = nn.Linear(pair, pair), nn.Linear(pair, HEADS)
        self.out = nn.Linear(HEADS * pair, width)

    def forward(self, x: Tensor, matrices: Tensor, valid: Tensor) -> Tensor:
        """Adds what keyframes (B, N, C) learn from each other; matrices are (B, N, 3, 3)."""
        rows = matrices.flatten(1, 2)
        relative = (rows @ rows.transpose(1, 2)).unflatten(1, (-1, 3)).unflatten(3, (-1, 3))
        place = torch.arange(x.shape[1], device=x.device, dtype=x.dtype)
        apart = (place[:, None] - place)[..., None]
        pairs = (
            self.rotation(relative.transpose(2, 3).flatten(-2))
            + self.apart(torch.cat([apart / 10, apart.sign()], dim=-1))
            + self.one(x)[:, :, None]
            + self.other(x)[:, None]
        )
        pairs = functional.relu(self.hidden(functional.relu(pairs)))
        heard = valid[:, None, :] * (apart[..., 0] >= 0)
        scores = self.score(pairs) + _FAR * (1 - heard)[..., None]
        values = scores.softmax(dim=2).transpose(2, 3) @ pairs
        return x + functional.relu(self.out(values.flatten(-2)))


class DilatedBlock(nn.Module):
    """A residual temporal convolution."""

    def __init__(self, width: int, dilation: int, *, causal: bool) -> None:
        """Builds the block with a kernel of three, which, if causal, ends at each keyframe."""
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.conv = nn.Conv1d(width, width, 3, dilation=dilation)
        self.out = nn.Linear(width, width)
        self.padding = (2 * dilation, 0) if causal else (dilation, dilation)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """Convolves (B, N, C) over N; what is masked counts as zero."""
        hidden = (self.norm(x) * valid[..., None]).transpose(1, 2)
        hidden = self.conv(functional.pad(hidden, self.padding)).transpose(1, 2)
        return x + self.out(functional.relu(hidden))


class CrossAttention(nn.Module):
    """Queries attend to keyframes, above all to those of the action that is due."""

    def __init__(self, width: int) -> None:
        """Builds the layer."""
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.query, self.pair = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.due = nn.Parameter(torch.full((HEADS, 1, 1), 4.0))
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width)
        )

    def forward(self, query: Tensor, x: Tensor, due: Tensor, known: Tensor) -> Tensor:
        """Updates queries (B, Q, C) from keyframes (B, N, C).

        Args:
            query: the queries.
            x: the keyframes.
            due: probability (B, Q, N) that a keyframe is of the action that is due.
            known: the same of this action or one before; 0 for keyframes that do not exist.
        """
        q = self.query(self.norm(query)).unflatten(-1, (HEADS, -1)).transpose(1, 2)
        k, v = (p.unflatten(-1, (HEADS, -1)).transpose(1, 2) for p in self.pair(x).chunk(2, dim=-1))
        scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5 + self.due * due[:, None]
        weights = (scores + torch.log(known + 1e-6)[:, None]).softmax(dim=-1)
        query = query + self.out((weights @ v).transpose(1, 2).flatten(-2))
        return query + self.mlp(query)


class Encoded(NamedTuple):
    """An encoded demonstration."""

    x: Tensor
    """Keyframes (B, N, C)."""
    valid: Tensor
    """Which of them exist (B, N)."""
    progress: Tensor
    """Logits (B, N, W) of the number of actions done before a keyframe."""
    action: Tensor
    """Logits (B, N, ACTIONS) of the action at a keyframe."""


class Answer(NamedTuple):
    """Answers to Q queries of each demonstration."""

    goal: Tensor
    """Goal orientations (B, Q, 3, 3)."""
    done: Tensor
    """Logits (B, Q) that everything is done."""
    action: Tensor
    """Logits (B, Q, ACTIONS) of the next action, an auxiliary output."""


class ImitationNetwork(nn.Module):
    """Infers from one demonstration what is to be done next."""

    def __init__(self, keyframe_size: int, waypoints: int, width: int = 80) -> None:
        """Builds the network.

        Args:
            keyframe_size: features of a keyframe, the orientation first, the mask last.
            waypoints: number W of waypoints in a query.
            width: channels.
        """
        super().__init__()
        self.embed = nn.Linear(keyframe_size, width)
        self.relations = Relations(width)
        self.blocks = nn.ModuleList(
            DilatedBlock(width, dilation, causal=causal)
            for dilation, causal in zip(DILATIONS, CAUSAL, strict=True)
        )
        self.progress, self.action = nn.Linear(width, waypoints), nn.Linear(width, ACTIONS)
        self.join = nn.Linear(width + waypoints + ACTIONS, width)
        self.query = nn.Sequential(
            nn.Linear(10 + waypoints * 19, 96), nn.ReLU(), nn.Linear(96, width)
        )
        self.attention = nn.ModuleList([CrossAttention(width) for _ in range(2)])
        self.norm = nn.LayerNorm(width)
        self.next_action, self.done = nn.Linear(width, ACTIONS), nn.Linear(width, 1)
        self.pose = nn.Sequential(nn.Linear(27, 96), nn.ReLU(), nn.Linear(96, 96), nn.ReLU())
        self.gate = nn.Linear(width + ACTIONS, 96)
        self.goal = nn.Sequential(nn.Linear(96 + width, 96), nn.ReLU(), nn.Linear(96, 6))
        self.direct = nn.Linear(96, 6)

    def encode(self, demonstration: Tensor) -> Encoded:
        """Encodes keyframes (B, N, F)."""
        valid, matrices = demonstration[..., -1], demonstration[..., :9].unflatten(-1, (3, 3))
        x = self.blocks[0](self.embed(demonstration), valid)
        x = self.relations(x, matrices, valid)
        for block in list(self.blocks)[1:]:
            x = block(x, valid)
        progress, action = self.progress(x), self.action(x)
        joined = torch.cat([x, progress.softmax(dim=-1), action.softmax(dim=-1)], dim=-1)
        return Encoded(self.join(joined), valid, progress, action)

    def answer(self, encoded: Encoded, present: Tensor, waypoints: Tensor) -> Answer:
        """Answers queries.

        Args:
            encoded: the demonstrations.
            present: present orientations (B, Q, 3, 3).
            waypoints: orientations and mask (B, Q, W, 10), the latest first.
        """
        mask = waypoints[..., -1:]
        poses = waypoints[..., :9].unflatten(-1, (3, 3))
        relative = (poses @ present[:, :, None].transpose(-1, -2)).flatten(-2) * mask
        # The action that is due has as many before it as there are waypoints after the start.
        number = functional.one_hot(mask[..., 0].sum(dim=-1).long() - 1, mask.shape[-2])
        progress = encoded.progress.softmax(dim=-1) * encoded.valid[..., None]
        number = number.to(progress.dtype)
        due = number @ progress.transpose(1, 2)
        known = number @ progress.cumsum(dim=-1).transpose(1, 2)
        exists = due.amax(dim=-1, keepdim=True)
        features = [present.flatten(-2), waypoints.flatten(-2), relative.flatten(-2), exists]
        query = self.query(torch.cat(features, dim=-1))
        for layer in self.attention:
            query = layer(query, encoded.x, due, known)
        meant = self.norm(query)
        action = self.next_action(meant)
        pose = self.pose(torch.cat([present.flatten(-2), relative[..., :2, :].flatten(-2)], -1))
        gated = pose * self.gate(torch.cat([meant, action.softmax(dim=-1)], dim=-1))
        rotation = self.goal(torch.cat([gated, meant], dim=-1)) + self.direct(gated)
        return Answer(matrix_from_6d(rotation) @ present, self.done(meant)[..., 0], action)


class ExportedImitator(nn.Module):
    """The network as it is exported: one query a demonstration."""

    def __init__(self, network: ImitationNetwork) -> None:
        """Wraps a network."""
        super().__init__()
        self.network = network

    def forward(
        self, demonstration: Tensor, present: Tensor, waypoints: Tensor
    ) -> tuple[Tensor, Tensor]:
        """From (B, N, F), (B, 3, 3) and (B, W, 10): goals (B, 4), probability of done."""
        encoded = self.network.encode(demonstration)
        found = self.network.answer(encoded, present[:, None], waypoints[:, None])
        return matrix_to_quat(found.goal[:, 0]), found.done[:, 0].sigmoid()
