"""The environment's physics without the environment: the same states, the same controls."""

from typing import TYPE_CHECKING

import mujoco
import numpy as np
from numpy.typing import NDArray

from opendactyl.sim import names

if TYPE_CHECKING:
    from opendactyl.benchmarks.env_suite import RandomHands


class Recorder:
    """Acts, remembering the controls, and replays them in the very same batch.

    The batch is the environment's own, so simulations, threads and per-simulation model fields
    are the same by construction. A replay starts where the chunk started; before the environment
    acts again it gets its simulations back as it left them, at its own expense. Episodes that
    ended are not restarted in a replay: their block lies where it fell.
    """

    def __init__(self, hands: "RandomHands", chunk: int = 25) -> None:
        """Records `chunk` actions at a time."""
        self.hands = hands
        self.batch = hands.env.batch
        self._chunk = chunk
        self._controls = np.zeros((chunk, *self.batch.bind("ctrl").shape))
        self._before = self.batch.state.copy()
        self._after: NDArray[np.float64] | None = None

    def act(self) -> float:
        """Takes a chunk of actions through the environment; returns how many."""
        if self._after is not None:
            self.batch.state[:] = self._after
            self.batch.forward(stage=mujoco.mjtStage.mjSTAGE_VEL)
        ctrl = self.batch.bind("ctrl")
        self._before[:] = self.batch.state
        for number in range(self._chunk):
            self.hands.env.step(self.hands.bins())
            self._controls[number] = ctrl
        self._after = self.batch.state.copy()
        return self._chunk * self.batch.nsim

    def replay(self) -> float:
        """Steps the batch through the recorded controls; returns how many actions that were."""
        self.batch.state[:] = self._before
        ctrl = self.batch.bind("ctrl")
        for controls in self._controls:
            ctrl[:] = controls
            self.batch.step(nstep=names.SUBSTEPS)
        return self._chunk * self.batch.nsim
