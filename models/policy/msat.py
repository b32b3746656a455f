"""The multi-stream action transformer of RLDX-1 (arXiv 2605.03269), small, for a hand.

Cognition (pose and goal, and the estimator's tokens of each view), action (flow time, state, noised
chunk) and physics (touch and actuator forces) are streams with weights of their own, joined by
attention; in later blocks cognition and action share weights. Flow matching turns noise into a
chunk of actions; the physics stream learns to predict itself.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from opendactyl.models.choices import FRAMES
from opendactyl.models.policy.chunks import ChunkNetwork, Chunks, Observed, masked_mean
from opendactyl.models.policy.msat_blocks import JointBlock, time_features

WIDTH = 128
SEPARATE, MERGED = 2, 2
"""Blocks with three streams, and blocks in which cognition and action share one."""
TIMES = 1.5, 1.0
"""Parameters of the Beta distribution of 1 - time: noisy chunks are trained on more often."""
LAST_TIME = 0.999
POSE = ("object_position", "object_quaternion", "relative_goal")
STATE = ("fingertips", "previous_targets")
_FAR = -1e4
"""Score of what is masked."""


class Embedded(NamedTuple):
    """Tokens that do not depend on the noise."""

    cognition: Tensor
    """(B, N, C)."""
    state: Tensor
    """(B, 1, C), of the action stream."""
    physics: Tensor
    """(B, 2, C)."""
    bias: Tensor
    """Added to the scores of the keys of all streams (B, 1, 1, N + 1 + chunk + 2)."""


class ActionTransformer(ChunkNetwork):
    """Plans action chunks by flow matching."""

    def __init__(
        self,
        fields: Mapping[str, int],
        actuators: int,
        *,
        chunk: int = 8,
        steps: int = 4,
        width: int = WIDTH,
        tokens: tuple[int, int] | None = None,
        single: bool = False,
        physics: bool = True,
    ) -> None:
        """Builds the network.

        Args:
            fields: sizes of the observation's fields in order, physics last.
            actuators: number A of the hand's actuators.
            chunk: number C of actions that are planned.
            steps: Euler steps from noise to a plan.
            width: channels of the tokens.
            tokens: views V and size T of the estimator's tokens; None: it does not observe them.
            single: one stream for all tokens in all blocks, for comparison.
            physics: whether the physics stream is ever observed; False masks it.
        """
        super().__init__(fields, actuators, chunk)
        self.steps, self._physics = steps, physics
        size = lambda names: sum(self.fields[name] for name in names)  # noqa: E731
        self.pose, self.goal = nn.Linear(size(POSE), width), nn.Linear(4, width)
        self.state = nn.Linear(FRAMES * size(STATE), width)
        self.noised = nn.Linear(actuators, width)
        self.sensed = nn.ModuleList([nn.Linear(n, width) for n in self.physics_fields.values()])
        self.time = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))
        place = lambda n: nn.Parameter(0.02 * torch.randn(n, width))  # noqa: E731
        self.frame_places, self.chunk_places = place(FRAMES), place(chunk)
        self.views = None if tokens is None else nn.Linear(tokens[1], width)
        self.view_places = None if tokens is None else place(tokens[0])
        self.view_norm = None if tokens is None else nn.LayerNorm(tokens[1])
        kinds = [1] * (SEPARATE + MERGED) if single else [3] * SEPARATE + [2] * MERGED
        self.blocks = nn.ModuleList([JointBlock(width, streams) for streams in kinds])
        self.norm, self.velocity_head = nn.LayerNorm(width), nn.Linear(width, actuators)
        self.physics_norm = nn.LayerNorm(width)
        self.physics_head = nn.Linear(2 * width, chunk * sum(self.physics_fields.values()))
        nn.init.zeros_(self.velocity_head.weight)
        nn.init.zeros_(self.velocity_head.bias)

    def embed(self, observed: Observed) -> Embedded:
        """The tokens of what was observed."""
        frames, exists = observed.frames, observed.exists
        fields = self.split(frames)
        pose = self.pose(torch.cat([fields[name] for name in POSE], dim=-1)) + self.frame_places
        goal = self.goal(fields["goal_quaternion"][:, -1:])
        cognition = [goal, pose]
        valid = [torch.ones_like(exists[:, :1]), exists if observed.pose is None else observed.pose]
        if self.views is not None and self.view_norm is not None and observed.tokens is not None:
            seen = observed.tokens.isfinite().all(dim=-1)
            values = self.view_norm(torch.nan_to_num(observed.tokens))
            cognition.append(self.views(values) + self.view_places)
            valid.append(seen.to(exists.dtype))
        state = torch.cat([fields[name] for name in STATE], dim=-1) * exists[..., None]
        fixed = torch.ones_like(exists[:, :1]).expand(-1, 1 + self.chunk)
        physics = self.split_physics(observed.physics)
        measured = [values.isfinite().all(dim=-1, keepdim=True) for values in physics.values()]
        sensed = [
            layer(torch.nan_to_num(values))[:, None]
            for layer, values in zip(self.sensed, physics.values(), strict=True)
        ]
        present = torch.cat(measured, dim=1).to(exists.dtype) * float(self._physics)
        bias = _FAR * (1 - torch.cat([*valid, fixed, present], dim=1))
        return Embedded(
            torch.cat(cognition, dim=1),
            self.state(state.flatten(1))[:, None],
            # A masked stream must not differ: its tokens are computed all the same.
            torch.cat(sensed, dim=1) * present[..., None],
            bias[:, None, None],
        )

    def velocity(self, embedded: Embedded, noised: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        """The velocity (B, C, A) of noised chunks at times (B,), and the predicted physics."""
        cognition, state, physics, bias = embedded
        moment = self.time(time_features(time, state.shape[-1]))[:, None]
        planned = self.noised(noised) + self.chunk_places
        action = torch.cat([state, planned], dim=1) + moment
        sizes = [cognition.shape[1], action.shape[1], physics.shape[1]]
        grouped = {3: sizes, 2: [sizes[0] + sizes[1], sizes[2]], 1: [sum(sizes)]}
        x = torch.cat([cognition, action, physics], dim=1)
        for block in self.blocks:
            x = block(x, grouped[len(block.streams)], bias)  # pyright: ignore
        velocity = self.velocity_head(self.norm(x[:, sizes[0] + 1 : sizes[0] + sizes[1]]))
        future = self.physics_head(self.physics_norm(x[:, -sizes[2] :]).flatten(1))
        return velocity, future.unflatten(-1, (self.chunk, -1))

    def plan(self, observed: Observed) -> Tensor:
        """The chunk (B, C, A) that flows from zero, the likeliest noise; plans repeat exactly."""
        embedded = self.embed(observed)
        chunk = torch.zeros_like(observed.frames[:, :1, :1]).expand(-1, self.chunk, self.actuators)
        for number in range(self.steps):
            time = torch.full_like(observed.frames[:, 0, 0], number / self.steps)
            chunk = chunk + self.velocity(embedded, chunk, time)[0] / self.steps
        return chunk

    def losses(
        self, observed: Observed, chunks: Chunks, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """The errors of velocities at random times, and of the predicted physics."""
        actions = chunks.actions
        noise = torch.randn(actions.shape, generator=generator)
        time = sample_times(len(actions), generator)
        noised = torch.lerp(noise, actions, time[:, None, None])
        velocity, future = self.velocity(self.embed(observed), noised, time)
        action = masked_mean((velocity - (actions - noise)).square(), chunks.known)
        target = torch.cat(list(self.split_physics(chunks.physics).values()), dim=-1)
        measured = target.isfinite()
        error = functional.mse_loss(future, torch.nan_to_num(target), reduction="none")
        return action, (error * measured).sum() / measured.sum().clamp(min=1)


def sample_times(count: int, generator: torch.Generator | None = None) -> Tensor:
    """Times (count,) of the flow in [0, 0.999]: 0 is noise, 1 the action."""
    # The inverse of the distribution function of Beta(a, 1).
    assert TIMES[1] == 1.0
    return LAST_TIME * (1 - torch.rand(count, generator=generator) ** (1 / TIMES[0]))
