"""A step of supervised training: warm-up and decay of the step size, clipped gradients."""

import torch
from torch import Tensor, nn

from opendactyl.core.errors import EnvironmentFailure

WARM_UP, SMALLEST = 100, 0.02
"""Steps until the full step size, and the last step size relative to the first."""
MAX_GRADIENT = 1.0
"""Largest gradient norm."""


def take_step(
    loss: Tensor,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    learning_rate: float,
    left: float,
    steps: int,
) -> None:
    """Minimises a loss by one step, whose size falls linearly with the time that is left.

    Args:
        loss: of the network, a scalar.
        network: whose gradients are clipped together.
        optimizer: of the network's parameters.
        learning_rate: the step size at the start, after the warm-up.
        left: fraction of the training that is left.
        steps: number of steps taken before.

    Raises:
        EnvironmentFailure: the loss or a gradient is not finite; the weights are left unchanged.
    """
    warm = min(1.0, (steps + 1) / WARM_UP)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * max(left, SMALLEST) * warm
    optimizer.zero_grad()
    loss.backward()
    norm = nn.utils.clip_grad_norm_(network.parameters(), MAX_GRADIENT)
    if not torch.isfinite(loss + norm):
        raise EnvironmentFailure(
            f"the training diverged after {steps} steps; start a new run with a smaller "
            "--learning-rate"
        )
    optimizer.step()
