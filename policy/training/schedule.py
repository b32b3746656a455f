"""Step size, discount and averaged weights in the course of a training run."""

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from opendactyl.policy.collection.agent import Agent
from opendactyl.policy.training.config import PolicyConfig

FACTOR = 1.2
"""Factor by which the step size follows the KL divergence after an update."""
FIRST, SMALLEST, LARGEST = 0.2, 0.1, 2.0
"""First value and limits of the step size, relative to its linear decay. Adam's first steps are the
largest, and a pretrained policy is lost to them in one update."""
SCALE, LIMIT = "scale", "limit"
"""Keys of an optimiser's parameter groups, and so of checkpoints: the present relative size, and
its upper limit."""


class Schedule:
    """Adam's step size decays linearly and follows the KL divergence; the discount grows."""

    def __init__(self, config: PolicyConfig, optimizer: torch.optim.Optimizer) -> None:
        """Sets the initial step size; that of a loaded optimiser continues."""
        self._config, self._optimizer = config, optimizer
        for group in optimizer.param_groups:
            group[SCALE], group[LIMIT] = FIRST if config.target_kl else 1.0, LARGEST

    def apply(self, progress: float) -> None:
        """Sets the step size for a fraction of the run that is done."""
        config = self._config
        final = min(config.final_learning_rate, config.learning_rate)
        decayed = config.learning_rate + min(progress, 1.0) * (final - config.learning_rate)
        for group in self._optimizer.param_groups:
            group["lr"] = decayed * group[SCALE]

    def gamma(self, progress: float) -> float:
        """The discount per action."""
        config = self._config
        final = max(config.final_gamma, config.gamma)
        return config.gamma + min(progress, 1.0) * (final - config.gamma)

    def follow(self, kl: float) -> None:
        """Shrinks the step size after too large a change of the policy, or lets it grow."""
        target = self._config.target_kl
        if target == 0:
            return
        factor = 1 / FACTOR if kl > 1.5 * target else FACTOR if kl < target / 1.5 else 1.0
        for group in self._optimizer.param_groups:
            group[SCALE] = min(max(group[SCALE] * factor, SMALLEST), group[LIMIT])

    def shrink(self, factor: float) -> None:
        """Multiplies the step size and its limit, after a divergence."""
        for group in self._optimizer.param_groups:
            group[SCALE], group[LIMIT] = group[SCALE] * factor, group[LIMIT] * factor


def averaged(agent: Agent, decay: float) -> AveragedModel:
    """The moving average of an agent's weights and normalisers, starting at the first update."""
    return AveragedModel(agent, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
