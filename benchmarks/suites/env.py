"""Suite `env`: the environment against raw physics, and against Gymnasium-Robotics' hand."""

from opendactyl.benchmarks.measure import Budget, Row, side_by_side, speed
from opendactyl.benchmarks.peers.gymnasium_hand import GymnasiumHands
from opendactyl.benchmarks.support.replay import RandomHands, Recorder
from opendactyl.core.cpu import cores
from opendactyl.sim.timing import SUBSTEPS, TIMESTEP

SIMULATIONS = 512
"""The default of `train-policy`."""
WARM_UP = 4
"""Chunks of actions before the measurement: enough for every simulation to start a second episode,
and for the initial states, which a training computes once."""


def run(budget: Budget) -> list[Row]:
    """Measures with the task `reorient` and uniformly random actions."""
    rows = [_raw_physics(budget.seconds), _gymnasium_robotics(budget.seconds)]
    if budget.full:
        rows += [_size(count, budget.seconds / 3) for count in (64, 128, 512, 1024)]
    return rows


def _raw_physics(seconds: float) -> Row:
    hands = RandomHands(SIMULATIONS, randomization="dactyl")
    for _ in range(WARM_UP):
        hands.actions()
    recorder = Recorder(hands)
    ours, peer = side_by_side(
        recorder.act, recorder.replay, seconds, (recorder.resume, recorder.rewind)
    )
    return Row(
        name="env/raw_physics", ours=ours, peer=peer, unit="actions/s",
        peer_name=f"Batch.step(nstep={SUBSTEPS}) from the same states with the same controls",
        extra={
            "simulations": SIMULATIONS,
            "threads": cores(),
            "task": recorder.hands.env.config.task,
            "randomization": recorder.hands.env.config.randomization,
        },
    )  # fmt: skip


def _gymnasium_robotics(seconds: float) -> Row:
    """Simulated seconds a second; the peer with the number of workers that is fastest."""
    hands = RandomHands(SIMULATIONS)
    every = cores()
    trials = {count: _trial(count) for count in (1, every, 2 * every, 4 * every)}
    best = max(trials, key=lambda count: trials[count])
    with GymnasiumHands(best) as gymnasium:
        ours, peer = side_by_side(hands.simulated_seconds, gymnasium.simulated_seconds, seconds)
    return Row(
        name="env/gymnasium_robotics", ours=ours, peer=peer, unit="simulated s/s",
        peer_name=GymnasiumHands.NAME,
        extra={
            "simulations": SIMULATIONS,
            "substep_ms": TIMESTEP * 1000,
            "peer_substep_ms": GymnasiumHands.SUBSTEP_MS,
            "peer_workers": best,
            "peer_by_workers": {str(count): round(value, 2) for count, value in trials.items()},
            "peer_mended": GymnasiumHands.PATCHED,
        },
    )  # fmt: skip


def _trial(workers: int) -> float:
    with GymnasiumHands(workers) as gymnasium:
        gymnasium.simulated_seconds()
        return speed(gymnasium.simulated_seconds, 4)


def _size(simulations: int, seconds: float) -> Row:
    """Speed with another number of simulations."""
    ours, peer = side_by_side(
        RandomHands(simulations).actions, RandomHands(SIMULATIONS).actions, seconds
    )
    return Row(
        name=f"env/simulations_{simulations}", ours=ours, peer=peer, unit="actions/s",
        peer_name=f"the same with {SIMULATIONS} simulations",
    )  # fmt: skip
