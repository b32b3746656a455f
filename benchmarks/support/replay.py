"""The environment with random actions, and its physics alone: same states, same controls."""

import mujoco
import numpy as np
from numpy.typing import NDArray

from opendactyl.policy.env.env import HandEnv
from opendactyl.policy.env.episode_types import EnvConfig
from opendactyl.policy.interface.actions import BINS
from opendactyl.sim.timing import CONTROL_PERIOD, SUBSTEPS

CHUNK = 25
"""Actions between two time measurements."""
REPLAYED = 10
"""Actions replayed at a time. The physics that an episode samples is not restored, so a long replay
of randomized hands diverges, drops objects and has less to compute."""


class RandomHands:
    """`HandEnv` with uniformly random actions."""

    def __init__(self, simulations: int, seed: int = 0, *, randomization: str = "none") -> None:
        """Starts the simulations on all cores."""
        self.env = HandEnv(
            EnvConfig(task="reorient", randomization=randomization), simulations, seed=seed
        )
        self.env.reset()
        self._rng = np.random.default_rng(seed)

    def bins(self) -> np.ndarray:
        """Random actions (B, 20)."""
        return self._rng.integers(0, BINS, (self.env.num_envs, self.env.hand_size.actuators))

    def actions(self) -> float:
        """Takes a chunk of actions; returns their number over all simulations."""
        for _ in range(CHUNK):
            self.env.step(self.bins())
        return CHUNK * self.env.num_envs

    def simulated_seconds(self) -> float:
        """Takes a chunk of actions; returns the simulated time."""
        return self.actions() * CONTROL_PERIOD


class Recorder:
    """Takes actions, records the controls, and replays them in the same batch.

    The batch is the environment's, so simulations, threads and per-simulation model fields are the
    same by construction. A replay starts from the states at the start of the chunk (`rewind`);
    `resume` restores the states at its end before the environment acts again. Where an episode
    ended, a replay sets the initial state of the next one: a dropped object would be less to
    compute than one in the hand.
    """

    def __init__(self, hands: RandomHands, chunk: int = REPLAYED) -> None:
        """Records `chunk` actions at a time."""
        self.hands = hands
        self.batch = hands.env.batch
        self._chunk = chunk
        self._controls = np.zeros((chunk, *self.batch.bind("ctrl").shape))
        self._before = self.batch.state.copy()
        self._after: NDArray[np.float64] | None = None
        self._starts: list[tuple[NDArray[np.intp], NDArray[np.float64]]] = []

    def resume(self) -> None:
        """Restores the states at the end of the recorded chunk."""
        if self._after is not None:
            self._set_state(self._after)

    def rewind(self) -> None:
        """Restores the states at the start of the recorded chunk."""
        self._set_state(self._before)

    def _set_state(self, state: NDArray[np.float64]) -> None:
        self.batch.state[:] = state
        self.batch.forward(stage=mujoco.mjtStage.mjSTAGE_VEL)

    def act(self) -> float:
        """Takes a chunk of actions in the environment; returns their number."""
        ctrl = self.batch.bind("ctrl")
        self._before[:] = self.batch.state
        self._starts = []
        for number in range(self._chunk):
            episodes = self.hands.env.episode.copy()
            self.hands.env.step(self.hands.bins())
            self._controls[number] = ctrl
            ids = np.flatnonzero(self.hands.env.episode != episodes)
            self._starts.append((ids, self.batch.state[ids]))
        self._after = self.batch.state.copy()
        return self._chunk * self.batch.nsim

    def replay(self) -> float:
        """Steps the batch with the recorded controls; returns the number of actions."""
        ctrl = self.batch.bind("ctrl")
        for controls, (ids, states) in zip(self._controls, self._starts, strict=True):
            ctrl[:] = controls
            self.batch.step(nstep=SUBSTEPS)
            if len(ids):
                self.batch.state[ids] = states
                self.batch.forward(ids, stage=mujoco.mjtStage.mjSTAGE_VEL)
        return self._chunk * self.batch.nsim
