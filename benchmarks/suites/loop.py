"""Suite `loop`: latency from three images to joint targets, at the control rate of a robot."""

import tempfile
import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from opendactyl.benchmarks.measure import Budget, Row
from opendactyl.benchmarks.support.background_training import background_training
from opendactyl.benchmarks.support.untrained import untrained_bundle
from opendactyl.control.bundle.load import Bundle, load_bundle
from opendactyl.control.runtime.controller import Controller
from opendactyl.control.runtime.realtime import real_time
from opendactyl.sim.timing import CONTROL_PERIOD

WARM_UP = 10
"""Actions before the measurement."""


@dataclass
class Latencies:
    """Milliseconds of each action, by stage."""

    estimate: list[float] = field(default_factory=list)
    """From three images to a pose."""
    policy: list[float] = field(default_factory=list)
    """Observation, policy, joint targets."""

    @property
    def total(self) -> np.ndarray:
        """Both stages."""
        return np.add(self.estimate, self.policy)


def run(budget: Budget) -> list[Row]:
    """Measures a bundle, alone and beside a training; its weights do not matter."""
    with tempfile.TemporaryDirectory(prefix="opendactyl-bench-") as folder:
        path = budget.bundle or untrained_bundle(Path(folder) / "bundle")
        bundle = load_bundle(path)
        task = bundle.task if budget.bundle else "none: untrained networks"
        actions = round(budget.seconds * (10 if budget.full else 1) / CONTROL_PERIOD)
        rows = []
        for name, beside in (
            ("loop/latency_ms", nullcontext), ("loop/latency_busy_ms", background_training)
        ):  # fmt: skip
            with beside(), real_time(budget.realtime) as scheduling:
                latencies = pace(bundle, actions)
            rows.append(_row(name, latencies, {"scheduling": scheduling, "task": task}))
    return rows


def _row(name: str, latencies: Latencies, extra: dict[str, str]) -> Row:
    total = latencies.total
    return Row(
        name=name, ours=_percentile(total, 99), peer=CONTROL_PERIOD * 1000,
        peer_name="the control period, within which an action must be ready", unit="ms",
        lower_is_better=True,
        extra={
            "p50": _percentile(total, 50),
            "p95": _percentile(total, 95),
            "estimate_p50": _percentile(latencies.estimate, 50),
            "estimate_p99": _percentile(latencies.estimate, 99),
            "policy_p50": _percentile(latencies.policy, 50),
            "policy_p99": _percentile(latencies.policy, 99),
            "deadline_misses": int(np.sum(total > CONTROL_PERIOD * 1000)),
            "actions": len(total),
            **extra,
        },
    )  # fmt: skip


def pace(bundle: Bundle, actions: int) -> Latencies:
    """Takes actions at the control rate with random frames of the cameras and measurements."""
    cameras = (bundle.raw_rig or bundle.rig).cameras
    rng = np.random.default_rng(0)
    controller, hand = Controller(bundle), np.array([0])
    fingertips = rng.normal(0, 0.05, (1, len(bundle.hand.fingertips), 3))
    joints = rng.normal(0, 0.3, (1, len(bundle.hand.joints)))
    controller.start(joints)
    latencies = Latencies()
    due = time.perf_counter()
    for number in range(WARM_UP + actions):
        frames = [rng.integers(0, 256, (c.height, c.width, 3), dtype=np.uint8) for c in cameras]
        began = time.perf_counter()
        pose = bundle.estimator.estimate(frames)
        estimated = time.perf_counter()
        controller.observe(0, pose)
        controller.act(hand, fingertips, joints, controller.quaternion)
        if number >= WARM_UP:
            latencies.estimate.append((estimated - began) * 1000)
            latencies.policy.append((time.perf_counter() - estimated) * 1000)
        # A robot's loop pauses too, which cools caches and lowers clock rates.
        due = max(due + CONTROL_PERIOD, time.perf_counter())
        time.sleep(max(0.0, due - time.perf_counter()))
    return latencies


def _percentile(values: np.ndarray | list[float], percent: float) -> float:
    return float(np.percentile(values, percent))
