"""The imitation network, after One-Shot Imitation Learning (arXiv 1703.07326), for one object.

Keyframes of a demonstration pass pairwise relations and dilated temporal convolutions, which find
where the object rests; the present pose and the number of waypoints so far query them by attention;
the head gives the next goal. Sequences are (B, N, C) with a mask as the last channel, queries
(B, Q, ...).
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from opendactyl.geometry.torch_ops.rotation import matrix_from_6d, matrix_to_quat

HEADS = 4
DILATIONS, CAUSAL = (1, 2, 4, 8), (False, False, True, True)
"""Of the temporal convolutions: where the object rests follows from what was before and a little of
what comes next."""
SEEN = 13
"""Features of a keyframe that reach the head: its orientation and its `surroundings`."""
RESTS, KEY = 3, 16
"""Rests to which a query attends, and the size of its keys."""
ACTIONS = 11
"""Classes of the auxiliary output: six faces, three yaws, back, the end."""
_FAR = -1e4
"""Score of what is masked."""


class Relations(nn.Module):
    """Attention over a keyframe and those before it, by the rotation between them."""

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


class Encoded(NamedTuple):
    """An encoded demonstration."""

    key: Tensor
    """Keys (B, N, C) of the keyframes."""
    seen: Tensor
    """Their orientations, and what the object does around them (B, N, SEEN)."""
    valid: Tensor
    """Which of them exist (B, N)."""
    rest: Tensor
    """Logits (B, N, W + 1): at which waypoint the object rests; the last, that it moves."""


class Answer(NamedTuple):
    """Answers to Q queries of each demonstration."""

    goal: Tensor
    """Goal orientations (B, Q, 3, 3)."""
    done: Tensor
    """Logits (B, Q) that everything is done."""
    action: Tensor
    """Logits (B, Q, ACTIONS) of the next action, an auxiliary output."""


class ImitationNetwork(nn.Module):
    """Infers from one demonstration what is to be done next.

    Three orientations of the demonstration say what the due action means: those at which the action
    before it began, at which it began, and at which it ended. Nothing else reaches the head: from
    the rest of a demonstration it would learn which programs the training has.
    """

    def __init__(self, keyframe_size: int, waypoints: int, width: int = 96) -> None:
        """Builds the network.

        Args:
            keyframe_size: features of a keyframe, the orientation first, the mask last.
            waypoints: number W of waypoints in a query.
            width: channels.
        """
        super().__init__()
        self.waypoints = waypoints
        self.embed = nn.Linear(keyframe_size, width)
        self.relations = Relations(width)
        self.blocks = nn.ModuleList(
            DilatedBlock(width, dilation, causal=causal)
            for dilation, causal in zip(DILATIONS, CAUSAL, strict=True)
        )
        self.rest = nn.Linear(width, waypoints + 1)
        self.key, self.query = nn.Linear(width, KEY), nn.Linear(18, RESTS * KEY)
        self.meant = nn.Sequential(
            nn.Linear((SEEN + 1) * RESTS + 18, 128), nn.ReLU(), nn.Linear(128, width), nn.ReLU()
        )
        self.next_action, self.done = nn.Linear(width, ACTIONS), nn.Linear(width, 1)
        self.pose = nn.Sequential(nn.Linear(18, 96), nn.ReLU(), nn.Linear(96, 96), nn.ReLU())
        self.gate = nn.Linear(width + ACTIONS, 96)
        self.goal = nn.Sequential(nn.Linear(96 + width, 96), nn.ReLU(), nn.Linear(96, 6))
        self.direct = nn.Linear(96, 6)

    def encode(self, demonstration: Tensor) -> Encoded:
        """Encodes keyframes (B, N, F)."""
        valid, matrices = demonstration[..., -1], demonstration[..., :9]
        x = self.blocks[0](self.embed(demonstration), valid)
        x = self.relations(x, matrices.unflatten(-1, (3, 3)), valid)
        for block in list(self.blocks)[1:]:
            x = block(x, valid)
        return Encoded(self.key(x), demonstration[..., :SEEN], valid, self.rest(x))

    def answer(self, encoded: Encoded, present: Tensor, waypoints: Tensor) -> Answer:
        """Answers queries.

        Args:
            encoded: the demonstrations.
            present: present orientations (B, Q, 3, 3).
            waypoints: orientations and mask (B, Q, W, 10), the latest first. Of those before the
                last two only the number counts.
        """
        before = waypoints[..., 1, :9].unflatten(-1, (3, 3)) * waypoints[..., 1, 9:, None]
        pose = torch.cat([present, before @ present.transpose(-1, -2)], dim=-1).flatten(-2)
        rests, found = self._rests(encoded, pose, waypoints[..., 9].sum(dim=-1).long() - 1)
        one, two, three = rests[..., :9].unflatten(-1, (3, 3)).unbind(dim=-3)
        rotations = three @ torch.stack([one, two]).transpose(-1, -2)
        meant = torch.cat([rests.flatten(-2), *rotations.flatten(-2), found], dim=-1)
        meant = self.meant(meant)
        action = self.next_action(meant)
        gated = self.pose(pose) * self.gate(torch.cat([meant, action.softmax(dim=-1)], dim=-1))
        rotation = self.goal(torch.cat([gated, meant], dim=-1)) + self.direct(gated)
        return Answer(matrix_from_6d(rotation) @ present, self.done(meant)[..., 0], action)

    def _rests(self, encoded: Encoded, pose: Tensor, due: Tensor) -> tuple[Tensor, Tensor]:
        """Attends to the keyframes at the rests around the action that is due.

        Args:
            encoded: the demonstrations.
            pose: present orientation, and rotation to the waypoint before (B, Q, 18).
            due: number of the action that is due (B, Q).

        Returns:
            What was observed there (B, Q, RESTS, SEEN), and how certainly (B, Q, RESTS).
        """
        number = due[..., None] + torch.arange(-1, RESTS - 1, device=due.device)
        exists = (number >= 0) & (number < self.waypoints)
        chosen = functional.one_hot(number.clamp(0, self.waypoints - 1), self.waypoints)
        chosen = (chosen * exists[..., None]).to(pose.dtype).flatten(1, 2)
        logs = encoded.rest.log_softmax(dim=-1)[..., :-1] + _FAR * (1 - encoded.valid)[..., None]
        logs = (chosen @ logs.transpose(1, 2)).unflatten(1, number.shape[1:])
        query = self.query(pose).unflatten(-1, (RESTS, KEY)).flatten(1, 2)
        scores = query @ encoded.key.transpose(1, 2) / KEY**0.5
        weights = (logs + scores.unflatten(1, number.shape[1:])).softmax(dim=-1)
        rests = weights @ encoded.seen[:, None]
        return rests * exists[..., None], logs.amax(dim=-1).exp() * exists


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
