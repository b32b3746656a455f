"""Soak test: many actions with intermittent faults, in simulation with rendered images."""

import itertools
import os
from pathlib import Path

import numpy as np
import pytest

from opendactyl.control.bundle.load import load_bundle
from opendactyl.control.evaluation.episodes import (
    EpisodeConfig,
    make_cameras,
    make_env,
    open_renderer,
)
from opendactyl.control.evaluation.fault_injection import FAULTS, FaultInjector
from opendactyl.control.evaluation.sim_adapters import SimGoals, SimHand
from opendactyl.control.runtime.pose_filter import FilteredPose
from opendactyl.control.runtime.robot_loop import RobotLoop
from opendactyl.control.runtime.telemetry import ACTING, COASTING, HOLDING
from opendactyl.control.runtime.vision_pose import VisionPose

SHIPPED = Path(__file__).parents[3] / "pretrained" / "spin"


def resident():
    """Resident memory of this process in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class CheckedHand(SimHand):
    """The simulated hand; counts commands, and those outside of the limits."""

    def __init__(self, env, low, high):
        super().__init__(env)
        self.low, self.high, self.outside, self.commands = low, high, 0, 0

    def command(self, targets):
        self.commands += 1
        self.outside += not ((targets >= self.low) & (targets <= self.high)).all()
        super().command(targets)


def soak(actions):
    """Runs a shipped bundle on vision with intermittent faults; checks commands and reports.

    Returns:
        Resident memory in bytes at intervals, after a quarter of the actions.
    """
    config = EpisodeConfig(bundle=SHIPPED, pose="vision")
    bundle = load_bundle(SHIPPED, threads=1)
    env, renderer = make_env(config, bundle, 1), open_renderer("classic", bundle)
    rng, faults, kinds = np.random.default_rng(0), FaultInjector(), itertools.cycle(FAULTS)
    decoder = bundle.decoder()
    hand = CheckedHand(env, decoder.low, decoder.high)
    cameras = faults.cameras(make_cameras(config, env, 0, renderer))
    source = FilteredPose(faults.source(VisionPose(bundle, cameras)))
    loop = RobotLoop(faults.bundle(bundle), faults.hand(hand), source, SimGoals(env))
    sizes, goals = [], 0
    for number in range(actions):
        if rng.random() < 0.15:
            faults.view = int(rng.integers(3))
            chosen = [next(kinds) for _ in range(rng.integers(1, 3))]
            faults.active = set() if faults.active else set(chosen)
        loop.step()
        if hand.done:
            goals += int(env.goals[0])
            loop.restart()
            hand.restart()
        if number >= actions // 4 and number % (actions // 10) == 0:
            sizes.append(resident())
    faults.active = set()
    recovered = [loop.step().state for _ in range(20)]
    renderer.close()
    report = loop.report()
    assert recovered[-1] == ACTING
    assert hand.outside == 0 and hand.commands > actions // 2
    assert report["actions"] == actions + 20
    assert report["goals"] == goals + int(env.goals[0])
    assert set(report["states"]) == {ACTING, COASTING, HOLDING}
    assert set(report["faults"]) == {"camera", "pose", "policy", "hand"}
    return sizes


def test_short_soak():
    soak(100)


@pytest.mark.slow
def test_ten_thousand_actions_at_constant_memory():
    sizes = soak(10_000)
    # The system may take pages back in between: only growth is a leak.
    assert max(sizes) - sizes[0] < 16e6, sizes
