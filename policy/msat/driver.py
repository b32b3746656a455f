"""The action transformer acting in a batch of simulations, and its networks by name."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from opendactyl.geometry.rotation import Array
from opendactyl.models.policy.chunk_mlp import ChunkMLP
from opendactyl.models.policy.chunks import ChunkNetwork, ChunkPolicy
from opendactyl.models.policy.msat import ActionTransformer
from opendactyl.policy.interface.actions import BINS
from opendactyl.policy.interface.observations import LAYOUTS, HandSize, field_sizes
from opendactyl.policy.msat.config import MsatConfig
from opendactyl.policy.msat.teacher import LAYOUT
from opendactyl.sim.hands.spec import HandSpec


def make_network(
    config: MsatConfig, hand: HandSpec, tokens: tuple[int, int] | None = None
) -> ChunkNetwork:
    """The untrained network of these settings.

    Args:
        config: the settings.
        hand: the hand, which determines the sizes of observations and actions.
        tokens: shape (V, T) of the estimator's tokens, if they are observed.
    """
    size = HandSize.of(hand)
    sizes = field_sizes(size)
    fields = {name: sizes[name] for name in LAYOUTS[LAYOUT]}
    if config.network == "mlp":
        return ChunkMLP(fields, size.actuators, chunk=config.chunk)
    return ActionTransformer(
        fields,
        size.actuators,
        chunk=config.chunk,
        steps=config.euler_steps,
        tokens=tokens,
        single=config.network == "single",
        physics=config.physics,
    )


class ChunkDriver:
    """Plans only where a plan is over, which in training takes most of the time."""

    def __init__(self, policy: ChunkPolicy) -> None:
        """Wraps a policy."""
        self.policy = policy
        self._memory: dict[str, Tensor] = {}

    def begin(self, batch: int) -> None:
        """Starts with an empty memory in `batch` simulations."""
        shapes = self.policy.memory
        self._memory = {name: torch.zeros(batch, *shape) for name, shape in shapes.items()}

    @torch.no_grad()
    def act(
        self,
        observation: NDArray[np.float32],
        start: NDArray[np.bool_],
        tokens: NDArray[np.float32] | None = None,
        idle: NDArray[np.bool_] | None = None,
    ) -> Array:
        """Bins (B, A), which may be fractional.

        Args:
            observation: observations (B, n).
            start: where an episode begins (B,).
            tokens: the estimator's tokens (B, V, T), for networks that observe them.
            idle: where another policy acts (B,): there the next plan starts anew.
        """
        memory, policy = self._memory, self.policy
        for values in memory.values():
            values[torch.from_numpy(start)] = 0.0
        observed, past, chunk = torch.from_numpy(observation), memory["past"], memory["chunk"]
        due = ~policy.continues(observed, past, memory["step"])[:, 0]
        if idle is not None:
            due &= ~torch.from_numpy(idle)
        if due.any():
            seen = None if tokens is None else torch.from_numpy(tokens)[due]
            plan = policy.network.plan(policy.observed(observed[due], past[due], seen))
            chunk[due], memory["step"][due] = plan.to(chunk.dtype), 0.0
        action, *after = policy.advance(observed, past, chunk, memory["step"])
        self._memory = dict(zip(memory, after, strict=True))
        if idle is not None:
            self._memory["step"][torch.from_numpy(idle)] = float(policy.execute)
        return action.double().numpy()


def to_unit(bins: Array) -> Array:
    """Positions in the actuators' ranges from -1 to 1, from bins."""
    return bins / ((BINS - 1) / 2) - 1.0
