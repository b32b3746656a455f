"""Suite `env`: the environment against raw physics, and against Gymnasium-Robotics' hand."""

import os

import numpy as np

from opendactyl.benchmarks.gymnasium_hand import GymnasiumHands
from opendactyl.benchmarks.measure import Budget, Row, side_by_side, speed
from opendactyl.benchmarks.replay import Recorder
from opendactyl.policy.env import HandEnv
from opendactyl.policy.episode import EnvConfig
from opendactyl.policy.interface import BINS
from opendactyl.sim import names

SIMULATIONS = 256
CHUNK = 25
"""Actions between two looks at the clock."""


def run(budget: Budget) -> list[Row]:
    """Measures with the task `reorient` and uniformly random actions."""
    rows = [_raw_physics(budget.seconds), _gymnasium_robotics(budget.seconds)]
    if budget.full:
        rows += [_size(count, budget.seconds / 3) for count in (64, 128, 512, 1024)]
    return rows


class RandomHands:
    """Our environment under uniformly random actions."""

    def __init__(self, simulations: int, seed: int = 0) -> None:
        """Starts the simulations on all cores."""
        self.env = HandEnv(EnvConfig(task="reorient"), simulations, seed=seed)
        self.env.reset()
        self._rng = np.random.default_rng(seed)

    def bins(self) -> np.ndarray:
        """Random actions (B, 20)."""
        return self._rng.integers(0, BINS, (self.env.num_envs, len(names.ACTUATORS)))

    def actions(self) -> float:
        """Takes a chunk of actions; returns how many, over all simulations."""
        for _ in range(CHUNK):
            self.env.step(self.bins())
        return CHUNK * self.env.num_envs

    def simulated_seconds(self) -> float:
        """Takes a chunk of actions; returns the simulated time."""
        return self.actions() * names.CONTROL_PERIOD


def _raw_physics(seconds: float) -> Row:
    recorder = Recorder(RandomHands(SIMULATIONS))
    ours, peer = side_by_side(recorder.act, recorder.replay, seconds)
    return Row(
        name="env/raw_physics", ours=ours, peer=peer, unit="actions/s",
        peer_name=f"Batch.step(nstep={names.SUBSTEPS}) from the same states with the same controls",
        extra={
            "simulations": SIMULATIONS,
            "threads": os.cpu_count(),
            "task": recorder.hands.env.config.task,
        },
    )  # fmt: skip


def _gymnasium_robotics(seconds: float) -> Row:
    """Simulated seconds a second; the peer at the worker count that suits it best."""
    hands = RandomHands(SIMULATIONS)
    cores = os.cpu_count() or 1
    trials = {count: _trial(count) for count in (1, cores, 2 * cores, 4 * cores)}
    best = max(trials, key=lambda count: trials[count])
    with GymnasiumHands(best) as gymnasium:
        ours, peer = side_by_side(hands.simulated_seconds, gymnasium.simulated_seconds, seconds)
    return Row(
        name="env/gymnasium_robotics", ours=ours, peer=peer, unit="simulated s/s",
        peer_name=GymnasiumHands.NAME,
        extra={
            "simulations": SIMULATIONS,
            "peer_workers": best,
            "peer_by_workers": {str(count): round(value, 2) for count, value in trials.items()},
            "peer_mended": GymnasiumHands.MENDED,
        },
    )  # fmt: skip


def _trial(workers: int) -> float:
    with GymnasiumHands(workers) as gymnasium:
        gymnasium.simulated_seconds()
        return speed(gymnasium.simulated_seconds, 4)


def _size(simulations: int, seconds: float) -> Row:
    """How the speed changes with the number of simulations."""
    ours, peer = side_by_side(
        RandomHands(simulations).actions, RandomHands(SIMULATIONS).actions, seconds
    )
    return Row(
        name=f"env/simulations_{simulations}", ours=ours, peer=peer, unit="actions/s",
        peer_name=f"the same with {SIMULATIONS} simulations",
    )  # fmt: skip
