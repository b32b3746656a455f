"""What trainings may expect, from the measured ones that the documentation states."""

from pathlib import Path

import pytest

from opendactyl.vision.measures.measured_runs import (
    FROM_SHIPPED_TOWERS,
    ONE_STAGE_FROM_RANDOM_WEIGHTS,
    TWO_STAGES_FROM_RANDOM_WEIGHTS,
    expectation,
)

ONE, TWO = ("landmark", False), ("landmark", True)
DOCS = Path(__file__).parents[3] / "docs" / "estimator.md"


def test_the_measured_trainings_are_those_of_the_documentation():
    text = DOCS.read_text(encoding="utf-8")
    two = (*TWO_STAGES_FROM_RANDOM_WEIGHTS, *FROM_SHIPPED_TOWERS)
    for run in (*ONE_STAGE_FROM_RANDOM_WEIGHTS, *two):
        assert f"{run.rotation_deg:.2f}°" in text and f"{run.position_mm:.2f} mm" in text
    first, second, last = (run.samples for run in ONE_STAGE_FROM_RANDOM_WEIGHTS)
    assert "800 steps of 64 samples" in text and first == 800 * 64
    assert "| 66,000 |" in text and "| 145,000 |" in text and second == 66_000 + 145_000
    assert f"{last:,} samples" in text
    for run in two:
        assert f"| {run.samples:,} |" in text


def test_a_training_expects_the_errors_of_the_longest_measured_one_that_it_exceeds():
    line = expectation(77.0, 277_200, ONE, trained=False, shipped_towers=False)
    assert line.startswith("77 samples/s, 277,200 samples by the end; one stage")
    assert line.endswith("had 1.91° and 1.24 mm after 211,000")
    line = expectation(18.0, 30_000, TWO, trained=False, shipped_towers=True)
    assert "; two stages of `landmark`, from the same towers," in line
    assert line.endswith("had 1.77° and 1.11 mm after 24,960")


@pytest.mark.parametrize(
    ("shipped_towers", "ending"),
    [
        (False, "4.40° and 2.24 mm after 29,952; so many take 31 minutes here (--max-minutes)"),
        (True, "5.97° and 2.16 mm after 6,720; so many take 7 minutes here (--max-minutes)"),
    ],
)
def test_a_training_that_is_too_short_is_told_how_long_it_takes(shipped_towers, ending):
    line = expectation(16.0, 4_800, TWO, trained=False, shipped_towers=shipped_towers)
    assert "probably too few to be of use" in line
    assert line.endswith(ending)


def test_nothing_is_said_of_trainings_from_trained_weights():
    line = expectation(16.0, 4_800, TWO, trained=True, shipped_towers=False)
    assert line == "16 samples/s, 4,800 samples by the end, after those of the weights that it " \
                   "starts from"  # fmt: skip


@pytest.mark.parametrize(
    ("network", "shipped_towers"),
    [(("landmark", False), True), (("keypoint", True), True), (("resnet18", False), False)],
)
def test_errors_of_other_networks_are_not_expected(network, shipped_towers):
    line = expectation(16.0, 64_000, network, trained=False, shipped_towers=shipped_towers)
    assert line.endswith("by the end; no training of such a network was measured")
