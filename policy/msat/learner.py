"""Steps of the optimizer on samples of the replay buffer."""

import numpy as np
import torch

from opendactyl.core.errors import EnvironmentFailure
from opendactyl.policy.msat.config import MsatConfig
from opendactyl.policy.msat.replay import Replay
from opendactyl.policy.msat.run_state import RunState

PHYSICS_WEIGHT = 0.05
"""Weight of the prediction of the physics stream."""
WARM_UP, SMALLEST = 100, 0.02
"""Steps until the full step size, and the last step size relative to the first."""


class Learner:
    """Trains the network of a run."""

    def __init__(self, state: RunState, config: MsatConfig) -> None:
        """Trains `state.network`."""
        self._state, self._config = state, config

    def update(
        self, replay: Replay, rng: np.random.Generator, progress: float
    ) -> tuple[float, float]:
        """Takes the steps of a round; returns the mean losses of actions and physics.

        Args:
            replay: what to learn from.
            rng: draws the samples.
            progress: fraction of the run that is done; the step size falls with it.

        Raises:
            EnvironmentFailure: the training diverged.
        """
        losses = [
            self._step(replay, rng, progress)
            for _ in range(self._config.updates if replay.ready else 0)
        ]
        action, physics = np.mean(losses, axis=0) if losses else (np.nan, np.nan)
        return float(action), float(physics)

    def _step(
        self, replay: Replay, rng: np.random.Generator, progress: float
    ) -> tuple[float, float]:
        state, config = self._state, self._config
        observed, chunks = replay.sample(config.batch_size, rng, config.physics_dropout)
        warm = min(1.0, (state.steps + 1) / WARM_UP)
        for group in state.optimizer.param_groups:
            group["lr"] = config.learning_rate * max(1 - progress, SMALLEST) * warm
        action, physics = state.network.losses(observed, chunks)
        loss = action + PHYSICS_WEIGHT * physics
        state.optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(state.network.parameters(), 1.0)
        if not torch.isfinite(loss + norm):
            raise EnvironmentFailure(
                f"the training diverged after {state.steps} steps; start a new run with a smaller "
                "--learning-rate"
            )
        state.optimizer.step()
        state.average.update_parameters(state.network)
        state.steps += 1
        return float(action.detach()), float(physics.detach())
