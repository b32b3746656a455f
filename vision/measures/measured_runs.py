"""Trainings whose errors were measured, and what they let a training expect."""

from typing import NamedTuple


class MeasuredRun(NamedTuple):
    """Mean errors on settled states that were not trained on."""

    samples: int
    """Samples seen, repetitions included, from random weights on."""
    rotation_deg: float
    position_mm: float


# docs/estimator.md: network `landmark`, one stage of 128 pixels, three views of the block, two CPU
# cores (AVX-512 bf16 for the shipped weights). The first row is the base of the ablations,
# n = 1,000; the others are the shipped weights, section "Measured": validation after 66,000 and
# 145,000 samples, and n = 2,000 test samples after 99,000 more. The first 66,000 alone are left
# out: that run was stopped before its learning rate had decayed.
MEASURED = (
    MeasuredRun(51_200, 7.39, 3.18),
    MeasuredRun(211_000, 1.91, 1.24),
    MeasuredRun(310_000, 1.70, 1.16),
)
"""Measured trainings, the shortest first."""


def expectation(samples_per_second: float, samples: int, *, trained: bool) -> str:
    """What a training may expect, as a line.

    Args:
        samples_per_second: its speed.
        samples: samples that it will have seen in the end.
        trained: whether all of its weights are trained already, which was not measured.
    """
    speed = f"{samples_per_second:.3g} samples/s, {samples:,} samples by the end"
    if trained:
        return f"{speed}, after those of the weights that it starts from"
    reached = [run for run in MEASURED if run.samples <= samples]
    run = reached[-1] if reached else MEASURED[0]
    errors = f"{run.rotation_deg:.2f}° and {run.position_mm:.2f} mm"
    if reached:
        return f"{speed}; one stage of `landmark` had {errors} after {run.samples:,}"
    minutes = run.samples / samples_per_second / 60
    return (
        f"{speed}: probably too few to be of use. The shortest measured training, of "
        f"{run.samples:,} from random weights, had {errors}; so many take {minutes:.0f} minutes "
        "here (--max-minutes)"
    )
