"""Steps of the optimizer on samples of the replay buffer."""

import numpy as np

from opendactyl.models.supervised_step import take_step
from opendactyl.policy.msat.config import MsatConfig
from opendactyl.policy.msat.replay import Replay
from opendactyl.policy.msat.run_state import RunState

PHYSICS_WEIGHT = 0.05
"""Weight of the prediction of the physics stream."""


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
        action, physics = state.network.losses(observed, chunks)
        take_step(
            action + PHYSICS_WEIGHT * physics,
            state.network,
            state.optimizer,
            learning_rate=config.learning_rate,
            left=1 - progress,
            steps=state.steps,
        )
        state.average.update_parameters(state.network)
        state.steps += 1
        return float(action.detach()), float(physics.detach())
