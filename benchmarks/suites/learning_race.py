"""The row `policy/minutes_to_25_goals`: `train-policy` against RecurrentPPO, from scratch."""

import dataclasses
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from opendactyl.benchmarks.measure import PartialResults, Row
from opendactyl.benchmarks.peers.recurrent_ppo import CANDIDATES, PeerSettings, RecurrentPeer
from opendactyl.benchmarks.support.learning_time import GoalClock, Target, TimedTrainer
from opendactyl.core.cpu import cores
from opendactyl.policy.training.config import PolicyConfig

NAME = "policy/minutes_to_25_goals"
EVALUATION_SEED = 820_000
"""Added to a pair's seed for the evaluation episodes; no training uses it."""


@dataclass(frozen=True, kw_only=True)
class Race:
    """Settings of the comparison."""

    ours: PolicyConfig = field(
        default_factory=lambda: PolicyConfig(eval_episodes=0, accelerator="cpu")
    )
    """The defaults of `train-policy`, on the CPU like the peer; the evaluations of the race replace
    its own."""
    candidates: Mapping[str, PeerSettings] = field(default_factory=lambda: CANDIDATES)
    """Settings of the peer, of which the best one in a trial is used."""
    trial_minutes: float = 10.0
    """Length of each trial."""
    target: Target = Target()
    """What has to be reached."""
    seeds: int = 3
    """Pairs of runs."""
    factor: float = 6.0
    """The peer is stopped after this multiple of our time."""

    @property
    def longest(self) -> float:
        """Upper limit of the minutes, with a tenth for the evaluations."""
        pair = (1 + self.factor) * self.ours.max_minutes
        return 1.1 * (len(self.candidates) * self.trial_minutes + self.seeds * pair)


def minutes_to_goals(partial: PartialResults, race: Race) -> Row:
    """Medians over the seeds; the peer's trials and each pair are partial results."""
    torch.set_num_threads(min(torch.get_num_threads(), cores()))  # like `train-policy`
    trials: dict[str, float] = partial.once(
        f"{NAME}, trials",
        lambda: {
            name: _goal_rate(race, settings)
            for name, settings in tqdm(race.candidates.items(), desc="trials of the peer")
        },
    )
    chosen = max(trials, key=lambda name: trials[name])
    pairs: list[dict[str, Any]] = [
        partial.once(f"{NAME}, seed {seed}", lambda seed=seed: run_pair(race, chosen, seed))
        for seed in range(race.seeds)
    ]
    return Row(
        name=NAME, unit="minutes", lower_is_better=True,
        ours=float(np.median([pair["ours"] for pair in pairs])),
        peer=float(np.median([pair["peer"] for pair in pairs])),
        peer_name=f"sb3-contrib RecurrentPPO ({chosen}), stopped at {race.factor:g} × our time",
        extra={
            "cores": cores(),
            "pairs": pairs,
            "peer_stopped": sum(not pair["peer_reached"] for pair in pairs),
            "peer_trials_goals_per_100_actions": trials,
            "trial_minutes": race.trial_minutes,
        },
    )  # fmt: skip


def run_pair(race: Race, chosen: str, seed: int) -> dict[str, Any]:
    """Minutes of both sides for one seed; a side that did not reach the target has its limit."""
    config = dataclasses.replace(race.ours, seed=seed)
    test_seed = EVALUATION_SEED + seed
    clock = GoalClock(race.target)
    with tempfile.TemporaryDirectory() as folder:
        trainer = TimedTrainer(config, Path(folder), clock, test_seed)
        try:
            trainer.run()
        finally:
            trainer.close()
    ours = clock.curve[-1][0] if clock.reached else clock.minutes
    peer_clock = GoalClock(race.target, race.factor * ours)
    peer = RecurrentPeer(config.environment(), race.candidates[chosen], seed)
    with tqdm(total=race.factor * ours, bar_format="{l_bar}{bar}| {n:.0f}/{total:.0f} min") as bar:
        while not peer_clock.done:
            peer.iteration()
            if peer_clock.due:
                peer_clock.evaluate(lambda n: peer.goals(config.environment(), n, test_seed))
            bar.update(min(peer_clock.minutes, bar.total) - bar.n)
    return {
        "seed": seed,
        "ours": ours,
        "ours_reached": clock.reached,
        "ours_actions": trainer.state.actions,
        "ours_curve": clock.curve,
        "peer": peer_clock.curve[-1][0] if peer_clock.reached else race.factor * ours,
        "peer_reached": peer_clock.reached,
        "peer_actions": peer.actions,
        "peer_curve": peer_clock.curve,
    }


def _goal_rate(race: Race, settings: PeerSettings) -> float:
    """Goals per 100 actions of a peer in the second half of a trial."""
    began = time.perf_counter()
    peer = RecurrentPeer(race.ours.environment(), settings, seed=EVALUATION_SEED)
    half, spent = (0, 0), 0.0
    while spent < race.trial_minutes:
        peer.iteration()
        spent = (time.perf_counter() - began) / 60
        if spent <= race.trial_minutes / 2:
            half = (peer.actions, peer.reached)
    return 100 * (peer.reached - half[1]) / (peer.actions - half[0])
