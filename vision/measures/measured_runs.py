"""Trainings whose errors were measured, and what they let a training expect."""

from typing import NamedTuple


class MeasuredRun(NamedTuple):
    """Mean errors on settled states that were not trained on."""

    samples: int
    """Samples seen, repetitions included."""
    rotation_deg: float
    position_mm: float


# docs/estimator.md: network `landmark`, three views, two CPU cores.
# One stage of 128 pixels from random weights, of the block (AVX-512 bf16 for the shipped weights).
# The first row is the base of the ablations, n = 1,000; the others are the estimator before,
# section "The estimator before": validation after 66,000 and 145,000 samples, and n = 2,000 test
# samples after 99,000 more. The first 66,000 alone are left out: that run was stopped before its
# learning rate had decayed.
ONE_STAGE_FROM_RANDOM_WEIGHTS = (
    MeasuredRun(51_200, 7.39, 3.18),
    MeasuredRun(211_000, 1.91, 1.24),
    MeasuredRun(310_000, 1.70, 1.16),
)
# Two stages, of the prism (AVX2): section "The first hour". The last rows are of n = 2,000 test
# samples, the others are validations on the way, before the learning rate had decayed.
TWO_STAGES_FROM_RANDOM_WEIGHTS = (
    MeasuredRun(29_952, 4.40, 2.24),
    MeasuredRun(45_440, 2.45, 1.71),
    MeasuredRun(79_104, 1.94, 1.41),
)
FROM_SHIPPED_TOWERS = (
    MeasuredRun(6_720, 5.97, 2.16),
    MeasuredRun(12_416, 2.80, 1.46),
    MeasuredRun(24_960, 1.77, 1.11),
    MeasuredRun(64_320, 1.34, 0.90),
)
"""Measured trainings, the shortest first."""
MEASURED = {
    ("landmark", True, True): FROM_SHIPPED_TOWERS,
    ("landmark", True, False): TWO_STAGES_FROM_RANDOM_WEIGHTS,
    ("landmark", False, False): ONE_STAGE_FROM_RANDOM_WEIGHTS,
}
"""By the network's name, whether it has two stages, and whether it starts from shipped towers."""


def expectation(
    samples_per_second: float,
    samples: int,
    network: tuple[str, bool],
    *,
    trained: bool,
    shipped_towers: bool,
) -> str:
    """What a training may expect, as a line.

    Args:
        samples_per_second: its speed.
        samples: samples that it will have seen in the end.
        network: its name, and whether it has two stages.
        trained: whether all of its weights are trained already, which was not measured.
        shipped_towers: whether it starts from the towers that ship.
    """
    speed = f"{samples_per_second:.3g} samples/s, {samples:,} samples by the end"
    if trained:
        return f"{speed}, after those of the weights that it starts from"
    name, two_stages = network
    measured = MEASURED.get((name, two_stages, shipped_towers))
    if measured is None:
        return f"{speed}; no training of such a network was measured"
    start = "the same towers" if shipped_towers else "random weights"
    what = f"{'two stages' if two_stages else 'one stage'} of `{name}`, from {start},"
    reached = [run for run in measured if run.samples <= samples]
    run = reached[-1] if reached else measured[0]
    errors = f"had {run.rotation_deg:.2f}° and {run.position_mm:.2f} mm after {run.samples:,}"
    if reached:
        return f"{speed}; {what} {errors}"
    minutes = run.samples / samples_per_second / 60
    return (
        f"{speed}: probably too few to be of use. The shortest measured training, {what} {errors}; "
        f"so many take {minutes:.0f} minutes here (--max-minutes)"
    )
