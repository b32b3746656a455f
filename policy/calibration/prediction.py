"""Predicts the samples of windows for sets of parameters, and their derivatives."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from opendactyl.geometry.rotation import Array
from opendactyl.policy.calibration.commands import find_commands
from opendactyl.policy.calibration.log import Log
from opendactyl.policy.calibration.motion import MeasuredMotion, Start
from opendactyl.policy.calibration.parameters import ParameterSpace, Values, find_chains
from opendactyl.policy.calibration.simulation import HandSimulation, Tracks
from opendactyl.policy.calibration.windows import Windows
from opendactyl.sim.scene import Scene

BATCH = 256
"""Simulations that run at a time."""


class Predicted(NamedTuple):
    """Predictions of P sets of parameters at R samples."""

    joints: Array
    """Readings of the encoders (P, R, J)."""
    efforts: Array
    """(P, R, A); without any (A = 0) if the log has none."""


class Block(NamedTuple):
    """Derivatives of one chain."""

    parameters: NDArray[np.intp]
    """(n,)."""
    joints: NDArray[np.intp]
    actuators: NDArray[np.intp]
    of_joints: Array
    """(R, joints, n)."""
    of_efforts: Array
    """(R, actuators, n)."""


class Predictor:
    """Predicts a log."""

    def __init__(self, log: Log, scene: Scene, threads: int = 0) -> None:
        """Prepares simulations of a scene of `empty_scene`."""
        self.log, self.scene = log, scene
        self.commands = find_commands(log)
        self.motion = MeasuredMotion(log, self.commands, scene)
        torques = log.efforts is not None
        self._sim = HandSimulation(scene, self.commands, BATCH, threads, efforts=torques)
        self._chains = find_chains(scene, self._sim.fields.links)
        self.space = ParameterSpace(scene, self._sim.fields.links, self._chains, torques)

    def members(self, chain: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The joints and the actuators of a chain."""
        joints, actuators = self._chains.joints == chain, self._chains.actuators == chain
        return np.flatnonzero(joints), np.flatnonzero(actuators)

    def predict(
        self, values: Values, windows: Windows, *, measured_slack: bool = False
    ) -> Predicted:
        """Simulates windows with P sets of parameters.

        Args:
            values: of the sets.
            windows: the windows.
            measured_slack: whether slack is taken up along the measured angles instead of the
                simulated ones, so that small errors do not grow where slack decides.
        """
        tracks = self.simulate(values, windows, measured_slack=measured_slack)
        joints = windows.at_samples(tracks.joints) + values["offset"][:, None]
        return Predicted(joints, windows.at_samples(tracks.efforts))

    def simulate(self, values: Values, windows: Windows, *, measured_slack: bool = False) -> Tracks:
        """The tracks (P, W, S + 1, …) of windows with P sets of parameters, as `predict`."""
        sets, count = len(values["delay"]), len(windows)
        which = np.repeat(np.arange(sets), count)
        time = np.tile(windows.begin, sets)
        applied = self.motion.applied(values)
        start = self.motion.starts(time, which, values, applied)
        targets = applied.targets if measured_slack else None
        pieces = []
        for first in range(0, len(which), BATCH):
            part = slice(first, first + BATCH)
            own = Start._make(field[part] for field in start)
            pieces.append(
                self._sim.run(
                    self.space, values, which[part], own, time[part], windows.steps, targets
                )
            )
        joined = (np.concatenate([getattr(p, name) for p in pieces]) for name in Tracks._fields)
        return Tracks(*(track.reshape(sets, count, *track.shape[1:]) for track in joined))

    def derivatives(
        self, x: Array, at: Predicted, windows: Windows, moves: list[Array] | None = None, *,
        measured_slack: bool = False,
    ) -> list[Block]:  # fmt: skip
        """Derivatives of predictions by the coordinates x (n,), one block for each chain.

        One simulation makes a move of every chain, since chains hardly move each other; what they
        do so is left out.

        Args:
            x: the coordinates.
            at: the prediction (1, R, …) for them.
            windows: the windows.
            moves: for each chain of n parameters n moves of them (n, n), as rows, whose effects
                are comparable; None: each parameter by its step.
            measured_slack: as for `predict`.
        """
        space = self.space
        own = [np.flatnonzero(space.chain == c) for c in range(int(space.chain.max()) + 1)]
        sets = np.tile(x, (max(map(len, own)), 1))
        for chain, part in enumerate(own):
            sets[: len(part), part] += np.diag(space.step[part]) if moves is None else moves[chain]
        predicted = self.predict(space.values(sets), windows, measured_slack=measured_slack)
        blocks = []
        for chain, part in enumerate(own):
            joints, actuators = self.members(chain)
            inverse = np.linalg.inv(sets[: len(part), part] - x[part])
            derivatives = []
            for new, old, rows in (
                (predicted.joints, at.joints, joints), (predicted.efforts, at.efforts, actuators),
            ):  # fmt: skip
                rows = rows[: new.shape[2]]  # none, without torques
                change = new[: len(part), :, rows] - old[0][:, rows]
                derivatives.append(np.einsum("nk,krj->rjn", inverse, change, optimize=True))
            blocks.append(Block(part, joints, actuators, *derivatives))
        return blocks
